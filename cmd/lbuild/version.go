package main

import (
	"encoding/json"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionInfo is what the executable knows about itself.
type versionInfo struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built from a checkout with changes
}

// buildVersion reads what the Go tool wrote into the executable.
func buildVersion() versionInfo {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versionInfo{Version: "unknown"}
	}
	v := versionInfo{Version: info.Main.Version, Go: info.GoVersion}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			v.Commit = setting.Value
		case "vcs.modified":
			v.Modified = setting.Value == "true"
		}
	}
	return v
}

func newVersionCommand(a *app) *cobra.Command {
	var format listFormat
	cmd := &cobra.Command{
		Use:   "version [--format table|json]",
		Short: "Print the version of lbuild, of Go, and the commit",
		Args:  takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			v := buildVersion()
			if format == formatJSON {
				return json.NewEncoder(a.stdout).Encode(v)
			}
			commit := v.Commit
			if commit == "" {
				commit = "unknown"
			}
			if v.Modified {
				commit += " (with changes)"
			}
			_, err := fmt.Fprintf(a.stdout, "lbuild %s\ngo     %s\ncommit %s\n", v.Version, v.Go, commit)
			return err
		},
	}
	addFormatFlag(cmd, &format)
	return cmd
}

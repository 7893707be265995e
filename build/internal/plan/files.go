package plan

import (
	"path"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

func (st *stage) copy(cmd *instructions.CopyCommand, from Source) error {
	op := &Copy{Verb: "COPY", Owner: cmd.Chown, Mode: cmd.Chmod, Context: from.Kind != FromNode}
	return st.transfer(op, cmd, cmd.SourcesAndDest, from)
}

func (st *stage) add(cmd *instructions.AddCommand) error {
	op := &Copy{Verb: "ADD", Owner: cmd.Chown, Mode: cmd.Chmod, Unpack: true, Context: true}
	return st.transfer(op, cmd, cmd.SourcesAndDest, Source{Kind: FromContext})
}

// transfer completes a COPY or ADD and puts it on the stage.
func (st *stage) transfer(op *Copy, cmd instructions.Command, paths instructions.SourcesAndDest, from Source) error {
	op.Sources, op.Dest, op.Epoch = paths.SourcePaths, st.absolute(paths.DestPath), st.options.Epoch
	for _, f := range paths.SourceContents {
		op.Documents = append(op.Documents, File{Path: f.Path, Data: f.Data})
	}
	st.change(op, cmd, copyText(op, paths), from)
	return nil
}

// copyText is the line of the history, as docker writes it.
func copyText(op *Copy, paths instructions.SourcesAndDest) string {
	words := []string{op.Verb}
	if op.Owner != "" {
		words = append(words, "--chown="+op.Owner)
	}
	if op.Mode != "" {
		words = append(words, "--chmod="+op.Mode)
	}
	words = append(words, paths.SourcePaths...)
	for _, f := range paths.SourceContents {
		words = append(words, "<<"+f.Path)
	}
	return strings.Join(append(words, paths.DestPath), " ")
}

// workdir makes the working directory, owned by the user that the image runs as.
func (st *stage) workdir(cmd *instructions.WorkdirCommand) error {
	dir := st.changeDir(cmd.Path)
	createdBy := "WORKDIR " + dir
	if dir == "/" {
		st.remember(createdBy)
		return nil
	}
	st.change(&Workdir{Dir: dir, User: st.config.Config.User}, cmd, createdBy)
	return nil
}

// absolute is a destination from the root of the image, with the slash at its end that says it is a directory.
func (st *stage) absolute(dest string) string {
	dir := dest == "" || dest == "." || strings.HasSuffix(dest, "/") || strings.HasSuffix(dest, "/.")
	if !path.IsAbs(dest) {
		dest = path.Join("/", st.config.Config.WorkingDir, dest)
	}
	if dest = path.Clean(dest); dir && dest != "/" {
		dest += "/"
	}
	return dest
}

// changeDir makes dir the working directory; a relative one is below the last.
func (st *stage) changeDir(dir string) string {
	if !path.IsAbs(dir) {
		dir = path.Join("/", st.config.Config.WorkingDir, dir)
	}
	st.config.Config.WorkingDir = path.Clean(dir)
	return st.config.Config.WorkingDir
}

// workingDir is where RUN starts.
func (st *stage) workingDir() string {
	return path.Join("/", st.config.Config.WorkingDir)
}

package integration

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// htpasswd is the user lbuild with the password secret.
const htpasswd = "lbuild:$2b$04$m7vYiGUpAjV.Q3MNx.KG0.hITCKNXIGfWyCgI.eKCfsWYicSJblKa\n"

// privateRegistry wants a password of everyone.
func (l *lab) privateRegistry() string {
	l.Helper()
	file := filepath.Join(l.dir, "htpasswd")
	l.putFile(file, []byte(htpasswd))
	return l.registry("auth:", "  htpasswd:", "    realm: test", "    path: "+file)
}

// dockerConfig makes docker's config.json for all further commands.
func (l *lab) dockerConfig(format string, args ...any) {
	l.Helper()
	dir := filepath.Join(l.dir, "docker")
	l.putFile(filepath.Join(dir, "config.json"), fmt.Appendf(nil, format, args...))
	l.env = append(l.env, "DOCKER_CONFIG="+dir)
}

func (l *lab) login(addr, password string) {
	l.Helper()
	l.dockerConfig(`{"auths":{%q:{"auth":%q}}}`, addr, base64.StdEncoding.EncodeToString([]byte("lbuild:"+password)))
}

// credentialHelper puts docker-credential-test on PATH. It answers for addr, notes each call in helper.log, and says
// what docker's helpers say for hosts that they do not know.
func (l *lab) credentialHelper(addr, password string) {
	l.Helper()
	script := fmt.Sprintf(`#!/bin/sh
read -r host
echo "$1 $host" >> %s/helper.log
if [ "$1 $host" = "get %s" ]; then
	echo '{"ServerURL":"%[2]s","Username":"lbuild","Secret":"%[3]s"}'
else
	echo 'credentials not found in native keychain'
	exit 1
fi
`, l.dir, addr, password)
	file := filepath.Join(l.dir, "helpers", "docker-credential-test")
	if err := writeFile(file, []byte(script), 0o755); err != nil {
		l.Fatal(err)
	}
	l.env = append(l.env, "PATH="+filepath.Dir(file)+":"+os.Getenv("PATH"))
}

func TestCredentials(t *testing.T) {
	const denied = "denies access: the repository does not exist or needs other credentials"
	for name, test := range map[string]struct {
		set  func(l *lab, addr string)
		fail string // part of the error; "" where the push and the pull work
	}{
		"config.json":          {func(l *lab, addr string) { l.login(addr, "secret") }, ""},
		"config.json is wrong": {func(l *lab, addr string) { l.login(addr, "guess") }, denied},
		"none":                 {func(l *lab, _ string) { l.dockerConfig(`{"auths":{"other.example":{}}}`) }, denied},
		"no config.json":       {func(l *lab, _ string) { l.env = append(l.env, "DOCKER_CONFIG="+l.dir+"/nowhere") }, denied},
		"broken config.json":   {func(l *lab, _ string) { l.dockerConfig(`{"auths":`) }, "docker's credentials: "},
		"helper for the host": {func(l *lab, addr string) {
			l.dockerConfig(`{"credHelpers":{%q:"test"}}`, addr)
			l.credentialHelper(addr, "secret")
		}, ""},
		"helper for all": {func(l *lab, addr string) {
			l.dockerConfig(`{"credsStore":"test"}`)
			l.credentialHelper(addr, "secret")
		}, ""},
		"helper is wrong": {func(l *lab, addr string) {
			l.dockerConfig(`{"credsStore":"test"}`)
			l.credentialHelper(addr, "guess")
		}, denied},
		"helper that knows others": {func(l *lab, _ string) {
			l.dockerConfig(`{"credsStore":"test"}`)
			l.credentialHelper("other.example", "secret")
		}, denied},
		"helper that is missing": {func(l *lab, _ string) { l.dockerConfig(`{"credsStore":"not-installed"}`) }, "docker-credential-not-installed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			addr := l.privateRegistry()
			dir := l.context(app)
			public := *l
			public.login(addr, "secret")
			public.root = filepath.Join(l.dir, "owner")
			digest := public.mustBuild(dir, "-q", "-t", addr+"/app:1", "--push")
			l.env = nil // config.json is replaced

			test.set(l, addr)
			push := l.build(dir, "-q", "-t", addr+"/app:2", "--push")
			pull := l.lbuild("pull", "-q", addr+"/app:1")
			from := l.build(l.context("-- Buildfile --\nFROM "+addr+"/app:1\n"), "-q", "--pull")
			for verb, r := range map[string]result{"push": push, "pull": pull, "FROM": from} {
				switch {
				case test.fail == "" && r.code != 0:
					t.Errorf("%s: status %d, %s", verb, r.code, r.stderr)
				case test.fail != "" && (r.code != 1 || !strings.Contains(r.stderr, test.fail)):
					t.Errorf("%s: status %d, %s, want %q", verb, r.code, r.stderr, test.fail)
				case strings.Contains(r.stderr, "secret") || strings.Contains(r.stderr, "guess"):
					t.Errorf("%s: the password is shown: %s", verb, r.stderr)
				}
			}
			if got := strings.TrimSpace(pull.stdout); test.fail == "" && got != digest {
				t.Errorf("pulled %q, want %s", got, digest)
			}
			l.checkIdle()
		})
	}
}

package remote

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	dockercreds "github.com/docker/cli/cli/config/credentials"
)

const (
	maxToken    = 1 << 20 // bytes of an answer that carries a token
	maxManifest = 4 << 20 // bytes of an index, manifest or config
)

// registryHosts says how the host part of a reference is reached. What it made is kept, and with it the tokens, the
// connections, and whether a host on loopback turned out to speak plain http.
func (c *Client) registryHosts(name string) ([]docker.RegistryHost, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	host, ok := c.hosts[name]
	if !ok {
		host = c.newHost(name)
		c.hosts[name] = host
	}
	return []docker.RegistryHost{host}, nil
}

func (c *Client) newHost(name string) docker.RegistryHost {
	var base http.RoundTripper = &watched{base: newTransport(c.patience), patience: c.patience, hosts: &silences{}}
	scheme := "https"
	switch {
	case c.insecure[name]:
		scheme = "http"
	case isLoopback(name):
		base = docker.NewHTTPFallback(base)
	}
	retrying := newRetrier(base, c.patience)
	host, err := docker.DefaultHost(name)
	if err != nil {
		host = name
	}
	return docker.RegistryHost{
		Client: &http.Client{Transport: retrying},
		Authorizer: &authorizer{scopes: map[string]*scope{}, fresh: func() docker.Authorizer {
			return docker.NewDockerAuthorizer(
				docker.WithAuthClient(&http.Client{Transport: &limited{base: retrying, max: maxToken}}),
				docker.WithAuthHeader(c.header()),
				docker.WithAuthCreds(c.creds.get),
			)
		}},
		Host:         host,
		Scheme:       scheme,
		Path:         "/v2",
		Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve | docker.HostCapabilityPush,
	}
}

func (c *Client) header() http.Header { return http.Header{"User-Agent": {c.agent}} }

func checkHost(host string) error {
	if host == "" || strings.ContainsAny(host, "/ @") {
		return fmt.Errorf("insecure registry %q: want HOST or HOST:PORT", host)
	}
	return nil
}

func isLoopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	return name == "localhost" || net.ParseIP(name).IsLoopback()
}

// credentials are those that docker keeps in its config.json or behind a credential helper.
type credentials struct {
	once sync.Once
	file *configfile.ConfigFile
	err  error
}

// errCredentials marks a config.json or a credential helper that could not be asked.
var errCredentials = errors.New("docker's credentials")

// get returns the user and secret for a host, both empty when there are none. An empty user means that the secret is an
// identity token.
func (c *credentials) get(host string) (user, secret string, err error) {
	c.once.Do(c.load)
	if c.err != nil {
		return "", "", c.err
	}
	auth, err := c.file.GetAuthConfig(configKey(host))
	if err != nil {
		return "", "", fmt.Errorf("%w for %s: %w", errCredentials, host, err)
	}
	if auth.IdentityToken != "" {
		return "", auth.IdentityToken, nil
	}
	return auth.Username, auth.Password, nil
}

func (c *credentials) load() {
	c.file, c.err = config.Load(os.Getenv("DOCKER_CONFIG"))
	if c.err != nil {
		c.err = fmt.Errorf("%w: %w", errCredentials, c.err)
		return
	}
	if !c.file.ContainsAuth() {
		c.file.CredentialsStore = dockercreds.DetectDefaultStore(c.file.CredentialsStore)
	}
}

// configKey is the name that docker login keeps a host's credentials under.
func configKey(host string) string {
	switch host {
	case "docker.io", "index.docker.io", "registry-1.docker.io":
		return "https://index.docker.io/v1/"
	}
	return host
}

package lambdahttp

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCertificatesAreReadFromTheBundleAloneWhereThereIsOne(t *testing.T) {
	there := filepath.Join(t.TempDir(), "ca-bundle.crt")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ bundle, file, dir, want string }{
		"on Amazon Linux":               {there, "", "", os.DevNull},
		"elsewhere":                     {there + ".none", "", "", ""},
		"with a file of the operator's": {there, "/certs.pem", "", ""},
		"with a folder of theirs":       {there, "", "/certs", "/certs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SSL_CERT_FILE", c.file)
			t.Setenv("SSL_CERT_DIR", c.dir)
			if readOneBundle(c.bundle); os.Getenv("SSL_CERT_DIR") != c.want {
				t.Errorf("want SSL_CERT_DIR=%q, got %q", c.want, os.Getenv("SSL_CERT_DIR"))
			}
		})
	}
}

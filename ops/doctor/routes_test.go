package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"testing"
)

func TestErrorsOfTheNetworkAreToldApart(t *testing.T) {
	for want, err := range map[string]error{
		unknownHost:        &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}},
		expiredCertificate: &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}},
		badCertificate:     &tls.CertificateVerificationError{Err: x509.HostnameError{}},
		"":                 errors.Join(&net.DNSError{IsTimeout: true}, errors.New("refused")),
	} {
		if got := network(fmt.Errorf("GET: %w", &url.Error{Op: "Get", URL: "https://x", Err: err})); got != want {
			t.Errorf("%v: want %q, got %q", err, want, got)
		}
	}
}

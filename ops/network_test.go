package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"testing"

	"chat-service-backend/ops/doctor"
)

func TestErrorsOfTheNetworkAreToldApart(t *testing.T) {
	for want, err := range map[string]error{
		doctor.UnknownHost:        &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}},
		doctor.ExpiredCertificate: &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}},
		doctor.BadCertificate:     &tls.CertificateVerificationError{Err: x509.HostnameError{}},
		"":                        errors.Join(&net.DNSError{IsTimeout: true}, errors.New("refused")),
	} {
		if got := doctor.NetworkFault(fmt.Errorf("GET: %w", &url.Error{Op: "Get", URL: "https://x", Err: err})); got != want {
			t.Errorf("%v: want %q, got %q", err, want, got)
		}
	}
}

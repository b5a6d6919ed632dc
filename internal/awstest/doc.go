// Package awstest starts stand-ins for AWS and for an identity provider, each for
// the length of a test.
package awstest

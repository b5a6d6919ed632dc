// Package awstest starts stand-ins for AWS and an identity provider for the
// length of a test.
package awstest

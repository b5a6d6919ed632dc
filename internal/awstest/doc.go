// Package awstest starts what stands in for AWS, and for an identity provider,
// for as long as a test runs.
package awstest

// Package stacktest checks what is deployed and is no Go program: template.yaml,
// as SAM's own translator turns it into CloudFormation, samconfig.toml, the
// sample events, the sample policies, and the script that writes the parameters.
// It has tests only.
package stacktest

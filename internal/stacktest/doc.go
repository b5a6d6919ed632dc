// Package stacktest tests what is deployed but is not Go: template.yaml, as SAM's
// own translator turns it into CloudFormation, the sample events, and the sample
// policies. It has tests only.
package stacktest

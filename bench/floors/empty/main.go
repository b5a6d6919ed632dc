// Command empty is a function that does nothing: what Go and aws-lambda-go cost
// on their own.
package main

import "github.com/aws/aws-lambda-go/lambda"

func main() { lambda.Start(func() {}) }

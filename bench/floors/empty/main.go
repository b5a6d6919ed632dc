// Command empty is a function that does nothing: the cost of Go and aws-lambda-go
// alone.
package main

import "github.com/aws/aws-lambda-go/lambda"

func main() { lambda.Start(func() {}) }

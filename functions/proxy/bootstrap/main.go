// Command bootstrap is the function as Lambda starts it.
package main

import (
	"chat-service-backend/functions/proxy"
	"chat-service-backend/shared/lambdahttp"
)

func main() { lambdahttp.MainStreamed(proxy.Build) }

// Command bootstrap is the function as Lambda starts it.
package main

import (
	"chat-service-backend/functions/config"
	"chat-service-backend/shared/lambdahttp"
)

func main() { lambdahttp.Main(config.Build) }

// Command ssm is the least function that mints a user token with a secret that
// is kept in SSM: one call in the init phase, with the SDK's client, and then
// what floors/token does.
package main

import (
	"context"
	"encoding/json"
	"os"
	"time"

	stream "github.com/GetStream/stream-chat-go/v6"
	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

func main() {
	out, err := ssm.New(ssm.Options{
		Region:       os.Getenv("AWS_REGION"),
		BaseEndpoint: aws.String(os.Getenv("AWS_ENDPOINT_URL_SSM")),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY")}, nil
		}),
	}).GetParameters(context.Background(), &ssm.GetParametersInput{
		Names:          []string{"/chat-service/stream/api-key", "/chat-service/stream/api-secret"},
		WithDecryption: aws.Bool(true),
	})
	if err != nil {
		panic(err)
	}
	values := make(map[string]string)
	for _, p := range out.Parameters {
		values[*p.Name] = *p.Value
	}
	client, err := stream.NewClient(values["/chat-service/stream/api-key"], values["/chat-service/stream/api-secret"])
	if err != nil {
		panic(err)
	}
	lambda.Start(func(e events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error) {
		id := e.PathParameters["userId"]
		now := time.Now()
		token, err := client.CreateToken(id, now.Add(time.Hour), now)
		if err != nil {
			return events.APIGatewayProxyResponse{}, err
		}
		body, err := json.Marshal(map[string]string{"userId": id, "token": token})
		return events.APIGatewayProxyResponse{
			StatusCode: 201,
			Headers:    map[string]string{"Content-Type": "application/json"},
			Body:       string(body),
		}, err
	})
}

// Package lambdaapi plays the one call of Lambda's API that the functions make.
package lambdaapi

import (
	"context"
	"net/http"

	"chat-service-backend/internal/standin"
)

// An API answers Invoke for one function.
//
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
type API struct {
	standin.Switch
	ARN         string
	Credentials *standin.Credentials // that calls must be signed with; nil: any
	Function    func(ctx context.Context, payload []byte) ([]byte, error)
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	standin.Serve(w, r, &a.Switch, a.Credentials, "lambda", func(body []byte) (any, error) {
		if r.Method != http.MethodPost || r.URL.Path != "/2015-03-31/functions/"+a.ARN+"/invocations" {
			return nil, &standin.Refusal{Status: http.StatusNotFound, Code: "ResourceNotFoundException", Message: "this answers Invoke for " + a.ARN}
		}
		answer, err := a.Function(r.Context(), body)
		if err != nil {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			answer = []byte(`{"errorMessage":"the function failed","errorType":"error"}`)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
		return nil, nil
	})
}

// Package lambdaapi plays the one call of Lambda's API that the functions make.
package lambdaapi

import (
	"context"
	"io"
	"net/http"
	"strings"

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
	a.Serve(w, r, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		arn, isFunction := strings.CutPrefix(r.URL.Path, "/2015-03-31/functions/")
		arn, isInvoke := strings.CutSuffix(arn, "/invocations")
		switch {
		case !isFunction || !isInvoke || r.Method != http.MethodPost || arn != a.ARN:
			standin.Error(w, http.StatusNotFound, "ResourceNotFoundException", "want a call of Invoke for "+a.ARN)
			return
		case a.Credentials != nil && !a.Credentials.Signed(r, body, "lambda"):
			standin.Error(w, http.StatusForbidden, "InvalidSignatureException", "want a request signed for lambda")
			return
		}
		answer, err := a.Function(r.Context(), body)
		if err != nil {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			answer = []byte(`{"errorMessage":"the function failed","errorType":"error"}`)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	})
}

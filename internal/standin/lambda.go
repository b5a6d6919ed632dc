package standin

import (
	"context"
	"net/http"
)

// A Lambda answers Invoke, the one call of Lambda's API that the functions make, for one
// function.
//
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
type Lambda struct {
	Switch
	ARN         string
	Credentials *Credentials // that calls must be signed with; nil: any
	Function    func(ctx context.Context, payload []byte) ([]byte, error)
}

func (l *Lambda) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	Serve(w, r, &l.Switch, l.Credentials, "lambda", func(body []byte) (any, error) {
		if r.Method != http.MethodPost || r.URL.Path != "/2015-03-31/functions/"+l.ARN+"/invocations" {
			return nil, &Refusal{http.StatusNotFound, "ResourceNotFoundException", "this answers Invoke for " + l.ARN}
		}
		answer, err := l.Function(r.Context(), body)
		if err != nil {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			answer = []byte(`{"errorMessage":"the function failed","errorType":"error"}`)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
		return nil, nil
	})
}

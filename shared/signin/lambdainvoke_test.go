package signin_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"chat-service-backend/internal/standin"
	"chat-service-backend/shared/lambdainvoke"
)

const arn = "arn:aws:lambda:eu-west-1:123456789012:function:checks:live"

// function returns the function behind a stand-in for Lambda.
func function(t *testing.T, f func(context.Context, []byte) ([]byte, error)) (*lambdainvoke.Function, *standin.Lambda) {
	api := &standin.Lambda{ARN: arn, Function: f, Credentials: &standin.Credentials{AccessKeyID: "id", SecretAccessKey: "secret", Region: "eu-west-1"}}
	s := httptest.NewServer(api)
	t.Cleanup(s.Close)
	made, err := lambdainvoke.New(func(name string) string {
		return map[string]string{
			"F": arn, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL_LAMBDA": s.URL,
		}[name]
	}, "F")
	if err != nil {
		t.Fatal(err)
	}
	return made, api
}

func TestAnswerIsTheFunctions(t *testing.T) {
	f, _ := function(t, func(_ context.Context, payload []byte) ([]byte, error) { return append(payload, '!'), nil })
	if got, err := f.Invoke(t.Context(), []byte("hello")); err != nil || string(got) != "hello!" {
		t.Errorf("want the function's answer, got %q, %v", got, err)
	}
}

func TestEachFailureHasItsReason(t *testing.T) {
	var answer []byte
	var failed error
	var calls atomic.Int32
	f, api := function(t, func(context.Context, []byte) ([]byte, error) { calls.Add(1); return answer, failed })
	for _, c := range []struct {
		name   string
		answer string
		failed error
		fault  standin.Fault
		want   string
	}{
		{"crashed", "", errors.New("crashed"), nil, lambdainvoke.Broken},
		{"too large", strings.Repeat("x", lambdainvoke.MaxAnswer+1), nil, nil, lambdainvoke.TooLarge},
		{"throttled", "", nil, standin.Refuse(http.StatusTooManyRequests, "TooManyRequestsException"), lambdainvoke.Throttled},
		{"forbidden", "", nil, standin.Refuse(http.StatusForbidden, "AccessDeniedException"), lambdainvoke.NotInvoked},
		{"failed", "", nil, standin.Refuse(http.StatusInternalServerError, "ServiceException"), lambdainvoke.NotInvoked},
		{"hung up", "", nil, standin.HangUp, lambdainvoke.NotInvoked},
	} {
		answer, failed = []byte(c.answer), c.failed
		calls.Store(0)
		api.Set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if c.fault == nil {
				next.ServeHTTP(w, r)
				return
			}
			calls.Add(1)
			c.fault(w, r, next)
		})
		if _, err := f.Invoke(t.Context(), []byte("{}")); err == nil || lambdainvoke.Reason(err) != c.want || calls.Load() != 1 {
			t.Errorf("%s: want %s after one call, got %v after %d", c.name, c.want, err, calls.Load())
		}
	}
}

func TestOnlyTheARNOfAFunctionIsAccepted(t *testing.T) {
	for text, ok := range map[string]bool{
		arn: true, strings.TrimSuffix(arn, ":live"): true, "arn:aws-eusc:lambda:eusc-de-east-1:1:function:f": true,
		"checks": false, "arn:aws:lambda:eu-west-1:1:layer:l": false, "arn:aws:lambda::1:function:f": false, arn + ":x": false,
	} {
		f, err := lambdainvoke.New(func(string) string { return text }, "F")
		if ok != (err == nil && f != nil) || err != nil && !strings.HasPrefix(err.Error(), "F: ") {
			t.Errorf("%s: want accepted %t, got %v", text, ok, err)
		}
	}
	if f, err := lambdainvoke.New(func(string) string { return "" }, "F"); f != nil || err != nil {
		t.Errorf("want no function for an empty variable, got %v, %v", f, err)
	}
}

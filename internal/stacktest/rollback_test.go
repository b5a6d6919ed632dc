package stacktest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/runtimeapi"
	"chat-service-backend/internal/standin"
)

// counts reports whether a metric filter counts a log line. It knows the two
// operators that the template uses.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html
func counts(t *testing.T, pattern, line string) bool {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		return false
	}
	inner := strings.TrimSuffix(strings.TrimPrefix(pattern, "{ "), " }")
	for condition := range strings.SplitSeq(inner, " && ") {
		word := regexp.MustCompile(`^\(?\$\.(\w+) (>= (\d+)|NOT EXISTS)\)?$`).FindStringSubmatch(condition)
		if word == nil {
			t.Fatalf("want $.field >= number or $.field NOT EXISTS, got %s", condition)
		}
		value, there := fields[word[1]]
		if word[2] == "NOT EXISTS" {
			if there {
				return false
			}
			continue
		}
		least, _ := strconv.ParseFloat(word[3], 64)
		if n, ok := value.(float64); !ok || n < least {
			return false
		}
	}
	return true
}

// A canary is rolled back by its ServerErrorsAlarm, whose metric is made from the
// functions' logs: those that real processes write while things go wrong.
func TestRollbackIsForOurOwnFaultsAlone(t *testing.T) {
	t.Parallel()
	s := translate(t)
	token := awstest.Functions(t)["token"]
	event := func(name string) []byte {
		text, err := os.ReadFile("events/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }))
	t.Cleanup(busy.Close)
	limited := awstest.NewIssuer(t)
	bearer := func() []byte {
		r := httptest.NewRequest(http.MethodGet, "/token/alice", nil)
		limited.URL = busy.URL
		r.Header.Set("Authorization", limited.Bearer("alice", nil))
		payload, err := json.Marshal(awstest.ClientEvent(t, r, "/token/{userId}"))
		if err != nil {
			t.Fatal(err)
		}
		return payload
	}()
	for name, test := range map[string]struct {
		fault    standin.Fault
		env      map[string]string
		event    []byte
		rollback bool
	}{
		"Parameter Store has too many calls": {standin.Limit(0, 0), nil, event("token-user-rest"), false},
		"the issuer has too many requests":   {nil, map[string]string{"OIDC_ISSUER": busy.URL, "OIDC_AUDIENCE": awstest.Audience}, bearer, false},
		"the role may not read the secret":   {standin.Refuse(http.StatusBadRequest, "AccessDeniedException"), nil, event("token-user-rest"), true},
		"the prefix is wrong":                {nil, map[string]string{"PARAMETER_PREFIX": "/other"}, event("token-user-rest"), true},
		"all is well":                        {nil, nil, event("token-user-rest"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := awstest.NewParameterStore(t, awstest.App("key", "secret"))
			store.Fault.Set(test.fault)
			output := new(awstest.Output)
			const requests = 5
			done := make(chan int, requests)
			for range requests { // all at once: each waits for as long as it may
				p, err := runtimeapi.Start(runtimeapi.Config{Binary: token, Env: store.Env(test.env), Output: output})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { p.Kill(); <-p.Ended() })
				go func() {
					status := 0
					if posted, err := p.Invoke(t.Context(), runtimeapi.Event{Payload: test.event}); err == nil {
						text, _ := io.ReadAll(posted.Body)
						if answer, err := apigateway.ParseAnswer(text); err == nil {
							status = answer.StatusCode
						}
					}
					p.Kill()
					<-p.Ended() // all its lines are there
					done <- status
				}()
			}
			failed := 0
			for range requests {
				if status := <-done; status >= 500 {
					failed++
				}
			}
			pattern := s.resource("AWS::Logs::MetricFilter", "TokenServerErrors")["FilterPattern"].(string)
			counted := 0
			for line := range strings.Lines(output.String()) {
				if counts(t, pattern, line) {
					counted++
				}
			}
			alarm := s.resource("AWS::CloudWatch::Alarm", "ServerErrorsAlarm")
			if got := counted >= number(t, alarm["Threshold"]); got != test.rollback {
				t.Errorf("want a rollback: %t, got %d of %d failures counted:\n%s", test.rollback, counted, failed, output)
			}
			// The API's own alarm counts every answer with 5xx, and rolls nothing back.
			api := s.resource("AWS::CloudWatch::Alarm", "ClientApi5xxAlarm")
			if got, want := failed >= 5 && 100*failed/requests >= number(t, api["Threshold"]), name != "all is well"; got != want {
				t.Errorf("want the API's alarm: %t, got %d failures:\n%s", want, failed, output)
			}
		})
	}
}

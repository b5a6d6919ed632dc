package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"

	"chat-service-backend/internal/streamapi"
)

// developmentSecret is the API secret that the stand-ins share when no file of
// parameters is given. README names it; it protects nothing.
const developmentSecret = "local-secret-for-development-only"

// values returns the current SSM parameters, name to value.
type values func() (map[string]string, error)

// builtInValues are the parameters of a server without -parameters.
func builtInValues(prefix string) values {
	m := map[string]string{
		prefix + "/stream/api-key":    "local-key",
		prefix + "/stream/api-secret": developmentSecret,
		prefix + "/client-config/web": `{"theme":{"name":"light","accent":"#005fff"},` +
			`"features":{"reactions":true,"threads":true,"fileUpload":true},"maxMessageLength":5000}`,
		prefix + "/client-config/mobile": `{"theme":{"name":"system","accent":"#005fff"},` +
			`"features":{"reactions":true,"threads":false,"fileUpload":true},"pushProvider":"firebase","maxMessageLength":2000}`,
	}
	return func() (map[string]string, error) { return m, nil }
}

// fileValues reads the file on every call, so that editing it is a rotation.
func fileValues(file string) values {
	return func() (map[string]string, error) {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var m map[string]string
		if err := json.Unmarshal(text, &m); err != nil || m == nil {
			// The cause could quote a value.
			return nil, fmt.Errorf("%s: want a JSON object whose values are text", file)
		}
		return m, nil
	}
}

// endpointValues asks the SSM endpoint that the functions use for the values
// which the stand-in for Stream needs, at most once a second.
func endpointValues(endpoint, region, prefix string, getenv func(string) string) values {
	client := awsssm.New(awsssm.Options{
		BaseEndpoint: &endpoint,
		Region:       region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			c := credentials(getenv)
			return aws.Credentials{AccessKeyID: c["AWS_ACCESS_KEY_ID"], SecretAccessKey: c["AWS_SECRET_ACCESS_KEY"], SessionToken: c["AWS_SESSION_TOKEN"]}, nil
		}),
	})
	names := []string{prefix + "/stream/api-key", prefix + "/stream/api-secret", prefix + "/stream/api-secret-previous"}
	var mu sync.Mutex
	var asked time.Time
	var last map[string]string
	return func() (map[string]string, error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(asked) < time.Second {
			return last, nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		out, err := client.GetParameters(ctx, &awsssm.GetParametersInput{Names: names, WithDecryption: new(true)})
		if err != nil {
			return nil, fmt.Errorf("SSM at %s: %w", endpoint, err)
		}
		asked, last = time.Now(), map[string]string{}
		for _, p := range out.Parameters {
			last[aws.ToString(p.Name)] = aws.ToString(p.Value)
		}
		return last, nil
	}
}

// ssm stands in for Parameter Store: GetParameter, GetParameters and
// GetParametersByPath of its JSON 1.1 protocol.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParametersByPath.html
type ssm struct {
	region string
	values values
	log    *lineLog
}

type ssmRequest struct {
	Name           string
	Names          []string
	Path           string
	Recursive      bool
	WithDecryption bool
	MaxResults     *int
	NextToken      string
}

type ssmParameter struct {
	ARN              string
	DataType         string
	LastModifiedDate float64
	Name             string
	Type             string
	Value            string
	Version          int
}

func (s *ssm) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "AmazonSSM.")
	if !ok || r.Method != http.MethodPost {
		ssmError(w, http.StatusBadRequest, "UnknownOperationException", "want a POST with X-Amz-Target: AmazonSSM.<operation>")
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var q ssmRequest
	if err != nil || json.Unmarshal(body, &q) != nil {
		ssmError(w, http.StatusBadRequest, "SerializationException", "want a JSON object")
		return
	}
	all, err := s.values()
	if err != nil {
		s.log.printf("ssm: %v", err)
		ssmError(w, http.StatusInternalServerError, "InternalServerError", "the parameters cannot be read")
		return
	}
	switch operation {
	case "GetParameter":
		value, ok := all[q.Name]
		if !ok {
			ssmError(w, http.StatusBadRequest, "ParameterNotFound", "")
			return
		}
		ssmAnswer(w, map[string]any{"Parameter": s.parameter(q.Name, value, q.WithDecryption)})
	case "GetParameters":
		if len(q.Names) < 1 || len(q.Names) > 10 {
			ssmError(w, http.StatusBadRequest, "ValidationException", "want 1 to 10 names")
			return
		}
		found, missing := []ssmParameter{}, []string{}
		for _, name := range q.Names {
			if value, ok := all[name]; ok {
				found = append(found, s.parameter(name, value, q.WithDecryption))
			} else {
				missing = append(missing, name)
			}
		}
		ssmAnswer(w, map[string]any{"Parameters": found, "InvalidParameters": missing})
	case "GetParametersByPath":
		s.byPath(w, q, all)
	default:
		ssmError(w, http.StatusBadRequest, "UnknownOperationException", "this stand-in reads parameters only")
	}
}

func (s *ssm) byPath(w http.ResponseWriter, q ssmRequest, all map[string]string) {
	if !strings.HasPrefix(q.Path, "/") {
		ssmError(w, http.StatusBadRequest, "ValidationException", "want a path that begins with /")
		return
	}
	size := 10
	if q.MaxResults != nil {
		size = *q.MaxResults
	}
	if size < 1 || size > 10 {
		ssmError(w, http.StatusBadRequest, "ValidationException", "want MaxResults from 1 to 10")
		return
	}
	below := strings.TrimSuffix(q.Path, "/") + "/"
	var names []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if rest, ok := strings.CutPrefix(name, below); ok && (q.Recursive || !strings.Contains(rest, "/")) {
			names = append(names, name)
		}
	}
	first := 0
	if q.NextToken != "" {
		var err error
		if first, err = strconv.Atoi(q.NextToken); err != nil || first < 0 || first > len(names) {
			ssmError(w, http.StatusBadRequest, "InvalidNextToken", "The specified token is not valid.")
			return
		}
	}
	page := []ssmParameter{}
	end := min(first+size, len(names))
	for _, name := range names[first:end] {
		page = append(page, s.parameter(name, all[name], q.WithDecryption))
	}
	answer := map[string]any{"Parameters": page}
	if end < len(names) {
		answer["NextToken"] = strconv.Itoa(end)
	}
	ssmAnswer(w, answer)
}

// parameter is a value as Parameter Store shows it: a SecureString that is not
// asked to be decrypted is of no use to anyone.
func (s *ssm) parameter(name, value string, decrypt bool) ssmParameter {
	p := ssmParameter{
		ARN:              "arn:aws:ssm:" + s.region + ":" + accountID + ":parameter/" + strings.TrimPrefix(name, "/"),
		DataType:         "text",
		LastModifiedDate: float64(time.Now().Unix()),
		Name:             name,
		Type:             "String",
		Value:            value,
		Version:          1,
	}
	if strings.HasSuffix(name, "/api-secret") || strings.HasSuffix(name, "/api-secret-previous") {
		p.Type = "SecureString"
		if !decrypt {
			p.Value = "AQICAHhlbmNyeXB0ZWQ="
		}
	}
	return p
}

const ssmContentType = "application/x-amz-json-1.1"

func ssmAnswer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", ssmContentType)
	w.Header().Set("X-Amzn-Requestid", newUUID())
	json.NewEncoder(w).Encode(v)
}

func ssmError(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", ssmContentType)
	w.Header().Set("X-Amzn-Requestid", newUUID())
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"__type": kind, "message": message})
}

// errNoParameter is a value that a stand-in needs and SSM does not have.
var errNoParameter = errors.New("the parameter does not exist")

// lookup is one value, never an empty one.
func (v values) lookup(name string) (string, error) {
	all, err := v()
	if err != nil {
		return "", err
	}
	if all[name] == "" {
		return "", fmt.Errorf("%s: %w", name, errNoParameter)
	}
	return all[name], nil
}

// credentials are those of the app at Stream. During a rotation both secrets count.
func (v values) credentials(prefix string) streamapi.Credentials {
	return func() (key string, secrets []string, err error) {
		if key, err = v.lookup(prefix + "/stream/api-key"); err != nil {
			return "", nil, err
		}
		secret, err := v.lookup(prefix + "/stream/api-secret")
		if err != nil {
			return "", nil, err
		}
		secrets = []string{secret}
		if previous, err := v.lookup(prefix + "/stream/api-secret-previous"); err == nil {
			secrets = append(secrets, previous)
		}
		return key, secrets, nil
	}
}

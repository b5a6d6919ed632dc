package settings

import (
	"fmt"
	"maps"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"chat-service-backend/internal/awstest"
)

func put(t *testing.T, s *Store, name, value string, kind types.ParameterType) {
	t.Helper()
	_, err := s.client.PutParameter(t.Context(), &ssm.PutParameterInput{
		Name: aws.String(s.Name(name)), Value: aws.String(value), Type: kind, Overwrite: aws.Bool(true),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The stand-in of the other tests is ours; moto is a second opinion.
func TestMotoSSM(t *testing.T) {
	url := awstest.Moto(t)

	t.Run("SecureString is decrypted and missing names are absent", func(t *testing.T) {
		s := openAt(t, url, nil)
		put(t, s, "stream/api-key", "k", types.ParameterTypeString)
		put(t, s, "stream/api-secret", "s", types.ParameterTypeSecureString)
		got, err := s.Parameters(t.Context(), "stream/api-key", "stream/api-secret", "stream/none")
		if want := map[string]string{"stream/api-key": "k", "stream/api-secret": "s"}; err != nil || !maps.Equal(got, want) {
			t.Errorf("want %v, got %v, %v", want, got, err)
		}
		if got, err := s.Parameters(t.Context(), "stream/none"); err != nil || len(got) != 0 {
			t.Errorf("want nothing of a missing name, got %v, %v", got, err)
		}
	})

	t.Run("all of more than ten, and nothing beside", func(t *testing.T) {
		s := openAt(t, url, map[string]string{"PARAMETER_PREFIX": "/all"})
		want := map[string]string{}
		for i := range 23 {
			name := fmt.Sprintf("client%02d", i)
			want[name] = fmt.Sprintf(`{"n":%d}`, i)
			put(t, s, "client-config/"+name, want[name], types.ParameterTypeString)
		}
		put(t, s, "stream/api-secret", "s", types.ParameterTypeSecureString)
		put(t, openAt(t, url, map[string]string{"PARAMETER_PREFIX": "/all-other"}), "x", "x", types.ParameterTypeString)
		got, err := s.Below(t.Context(), "client-config")
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("want %d parameters, got %v, %v", len(want), got, err)
		}
		if got, err := openAt(t, url, map[string]string{"PARAMETER_PREFIX": "/none"}).Below(t.Context(), "client-config"); err != nil || len(got) != 0 {
			t.Errorf("want nothing below a prefix that does not exist, got %v, %v", got, err)
		}
	})
}

package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"

	"chat-service-backend/ops/cfn"
)

// Settings are the lines of deploy/<env>.env.
type Settings struct {
	File       string            // relative to the template
	Exists     bool              // whether there is such a file
	Parameters map[string]string // template parameters, which deploy passes to the stack
	// Account and Region, the lines AwsAccount and AwsRegion, are where the stack
	// belongs; empty if the file does not say.
	Account, Region string
}

// A FileError is a line of deploy/<env>.env that cannot be meant.
type FileError struct{ error }

var account = regexp.MustCompile(`^[0-9]{12}$`)

// Settings reads deploy/<env>.env. An error names the line that is wrong and what to do.
func (t *Target) Settings(template *cfn.Template) (*Settings, error) {
	s := &Settings{File: filepath.Join("deploy", t.Environment+".env"), Parameters: map[string]string{}}
	text, err := os.ReadFile(filepath.Join(template.Dir, s.File))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	s.Exists = true
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimRight(line, "\r\n") // of an editor on Windows, too
		if err := s.add(template, line); err != nil {
			return nil, FileError{fmt.Errorf("%s, line %d: %w", s.File, number, err)}
		}
	}
	return s, nil
}

func (s *Settings) add(template *cfn.Template, line string) error {
	name, value, ok := strings.Cut(line, "=")
	strange := func(r rune) bool { return r != ' ' && (unicode.Is(unicode.C, r) || unicode.IsSpace(r)) }
	switch {
	case strings.HasPrefix(line, "\ufeff"):
		return errors.New("begins with a byte-order mark, which is not shown: save the file as UTF-8 without one")
	case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		return nil
	case !ok:
		return fmt.Errorf("%q is not Name=Value: write it so, or put a # in front", line)
	case strings.ContainsFunc(line, strange):
		return fmt.Errorf("%s has a character that is not shown, in %+q: type the line again", strings.TrimSpace(name), line)
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("%q has a space around its name: write %s=…", line, strings.TrimSpace(name))
	case strings.TrimSpace(value) != value:
		return fmt.Errorf("the value of %s begins or ends with a space: remove it", name)
	case strings.ContainsAny(value, `"\`) || strings.HasPrefix(value, "'"):
		return fmt.Errorf("the value of %s has a quote or a backslash: values are written without", name)
	}
	if _, again := s.Parameters[name]; again || name == "AwsAccount" && s.Account != "" || name == "AwsRegion" && s.Region != "" {
		return fmt.Errorf("%s stands twice: remove one of the lines", name)
	}
	switch {
	case name == "AwsAccount" && !account.MatchString(value):
		return fmt.Errorf("AwsAccount is %q, but an account has 12 digits", value)
	case name == "AwsAccount":
		s.Account = value
	case name == "AwsRegion":
		s.Region = value
	case template.Section("Parameters")[name] == nil:
		return fmt.Errorf("%s is not a parameter of template.yaml: see docs/settings.md", name)
	default:
		s.Parameters[name] = value
	}
	return nil
}

// belongs returns an error if credentials are not for the account and region of the
// deployment. A stack of another name has no file.
func (t *Target) belongs() (func(account, region string) error, error) {
	anywhere := func(string, string) error { return nil }
	if t.StackName != "" {
		return anywhere, nil
	}
	template, err := cfn.Find(t.Dir)
	if err != nil { // commands that need the template find it missing themselves
		return anywhere, nil
	}
	s, err := t.Settings(template)
	return func(account, region string) error {
		switch {
		case s.Region != "" && s.Region != region:
			return fmt.Errorf("%s says AwsRegion=%s, but the region is %s: set AWS_REGION=%s, or correct the file", s.File, s.Region, region, s.Region)
		case s.Account != "" && s.Account != account:
			return fmt.Errorf("%s says AwsAccount=%s, but the credentials are for account %s: use others (AWS_PROFILE), or correct the file", s.File, s.Account, account)
		}
		return nil
	}, err
}

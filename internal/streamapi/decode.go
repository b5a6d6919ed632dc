package streamapi

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// decode keeps numbers as they are written: a float64 would change those beyond
// 2^53.
func decode(what string, text []byte) (document, error) {
	d := decoder{jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)), string(text)}
	v, err := d.value()
	content, ok := v.(document)
	if _, end := d.ReadToken(); err != nil || !ok || end != io.EOF {
		return nil, badInput("the %s is not a JSON object", what)
	}
	return content, nil
}

// A decoder needs half the time of encoding/json's: what it returns shares the memory of text.
type decoder struct {
	*jsontext.Decoder
	text string
}

func (d decoder) value() (v any, err error) {
	kind := d.PeekKind()
	switch kind {
	case '{':
		content, name := document{}, ""
		for _, err = d.ReadToken(); err == nil && d.PeekKind() != '}'; {
			if name, err = d.literal(); err == nil {
				content[unquote(name)], err = d.value()
			}
		}
		v = content
	case '[':
		items := []any{}
		for _, err = d.ReadToken(); err == nil && d.PeekKind() != ']'; items = append(items, v) {
			v, err = d.value()
		}
		v = items
	default:
		text, err := d.literal()
		switch kind {
		case '"':
			v = unquote(text)
		case '0':
			v = json.Number(text)
		case 't', 'f':
			v = kind == 't'
		}
		return v, err
	}
	if err == nil {
		_, err = d.ReadToken() // the closing bracket
	}
	return v, err
}

// literal returns the next text, number, true, false or null as it is written.
func (d decoder) literal() (string, error) {
	value, err := d.ReadValue()
	end := int(d.InputOffset())
	return d.text[end-len(value) : end], err
}

func unquote(text string) string {
	if strings.IndexByte(text, '\\') < 0 && utf8.ValidString(text) {
		return strings.Trim(text, `"`)
	}
	plain, _ := jsontext.AppendUnquote(nil, text)
	return string(plain)
}

package streamapi

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

func FuzzDecodeAgreesWithEncodingJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.50,true,false,null,"x\u00e9\n",{"b":{}}],"a\"b":1e5}`, ` {} `, `{"a":1}{`, `[1]`, `null`, `{"a":"\ud800"}`, `{"a":1,"a":2}`, `{"":""}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := decode("", text)
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var want document
		wantErr := d.Decode(&want)
		if wantErr == nil && (want == nil || !json.Valid(text)) {
			wantErr = bytes.ErrTooLarge
		}
		if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %v %v, want %v %v", text, got, err, want, wantErr)
		}
	})
}

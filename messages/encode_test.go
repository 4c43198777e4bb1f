package messages

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"chive/messages/chivev1"
)

func TestEncodeDecode(t *testing.T) {
	e := stamped(opened())
	wire, err := Encode([]byte("prefix"), e)
	if err != nil || !bytes.HasPrefix(wire, []byte("prefix")) {
		t.Fatalf("wire %q, %v", wire, err)
	}
	back, err := Decode(wire[len("prefix"):])
	if err != nil || !proto.Equal(back, e) {
		t.Errorf("decoded %v, %v", back, err)
	}
}

func TestEncodeRepairsText(t *testing.T) {
	e := stamped(Event(chivev1.Kind_KIND_DIRECTORY, "d", &chivev1.DocumentRejected{Reason: "line \xff\xfe bad"}))
	wire, err := Encode(nil, e)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(wire)
	if err != nil || back.GetDocumentRejected().GetReason() != "line \uFFFD bad" {
		t.Errorf("decoded %v, %v", back, err)
	}
	if e.GetDocumentRejected().GetReason() != "line \xff\xfe bad" {
		t.Error("Encode changed its input")
	}
}

func TestDecodeRefusesGarbage(t *testing.T) {
	if e, err := Decode([]byte{0xff}); err == nil {
		t.Errorf("decoded %v", e)
	}
}

func FuzzDecode(f *testing.F) {
	wire, err := Encode(nil, stamped(opened()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
	f.Fuzz(func(t *testing.T, wire []byte) {
		e, err := Decode(wire)
		if err != nil {
			return
		}
		// Whatever decodes can be shown, redacted and encoded again.
		Text(e)
		Subject("f", e)
		if _, err := Encode(nil, Redact(e, chivev1.Tier_TIER_LIFECYCLE)); err != nil {
			t.Errorf("encode again: %v", err)
		}
	})
}

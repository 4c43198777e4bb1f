package netdoc

// Item is one keyword line of a small document with its object, for documents
// that other packages read. It does not alias the text.
type Item struct {
	Keyword    string
	Args       []string
	Start      int    // offset of the keyword in the text
	ObjectType string // "" when the item has no object
	Object     []byte // decoded
}

// maxItemArgs bounds the arguments of one line; what follows is not read.
const maxItemArgs = 64

// Items reads a whole document of at most maxSize bytes and maxItems items (dir-spec
// 1.2). doc names it in errors, which are *ParseError.
func Items(doc string, text []byte, maxSize, maxItems int) ([]Item, error) {
	s, err := newScanner(doc, text, maxSize, maxItems)
	if err != nil {
		return nil, err
	}
	var items []Item
	for {
		var it item
		more, err := s.next(&it)
		if err != nil || !more {
			return items, err
		}
		if len(items) == maxItems {
			return nil, s.fail(it.start, ErrTooLarge)
		}
		out := Item{Keyword: string(it.keyword), Start: it.start, ObjectType: string(it.objType)}
		for arg := it.args.next(); arg != nil && len(out.Args) < maxItemArgs; arg = it.args.next() {
			out.Args = append(out.Args, string(arg))
		}
		if it.objType != nil {
			if out.Object, err = it.decodeObject(); err != nil {
				return nil, s.fail(it.start, err)
			}
		}
		items = append(items, out)
	}
}

// DecodeBase64 fills dst from text, whose length must match exactly; padding may
// be present or not.
func DecodeBase64(dst []byte, text string) bool { return decodeBase64(dst, []byte(text)) }

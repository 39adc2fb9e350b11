package spec

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// Redacted returns the document as YAML with every secret replaced by ***: fields tagged secret,
// keys that name a secret, and passwords inside connection strings. References such as ${NAME}
// stay as written, since they say nothing. Comments are gone and aliases are expanded.
func (d *Document) Redacted() []byte {
	var b bytes.Buffer
	printValue(&b, d.root, "", false)
	b.WriteByte('\n')
	return bytes.TrimLeft(b.Bytes(), "\n")
}

// printValue writes a value after its key: scalars and empty collections on the line, others below.
func printValue(b *bytes.Buffer, v *Value, indent string, secret bool) {
	secret = secret || v.hidden
	switch {
	case v.Kind == KindMap && len(v.Pairs) > 0:
		for _, pair := range v.Pairs {
			b.WriteString("\n" + indent + quoteKey(pair.Key) + ":")
			space(b, pair.Value)
			printValue(b, pair.Value, indent+"  ", secret || secretName.MatchString(pair.Key))
		}
	case v.Kind == KindList && len(v.Items) > 0:
		for _, item := range v.Items {
			b.WriteString("\n" + indent + "-")
			space(b, item)
			printValue(b, item, indent+"  ", secret)
		}
	case v.Kind == KindMap:
		b.WriteString("{}")
	case v.Kind == KindList:
		b.WriteString("[]")
	default:
		b.WriteString(printScalar(v, secret))
	}
}

func space(b *bytes.Buffer, v *Value) {
	if len(v.Pairs) == 0 && len(v.Items) == 0 {
		b.WriteByte(' ')
	}
}

var (
	plainText = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_.$/{}-]*$`)
	// legacyBool is what YAML 1.1 readers take for booleans.
	legacyBool = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off)$`)
	plainKey   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)
)

func printScalar(v *Value, secret bool) string {
	text := maskValue(v.raw, mask)
	if secret && text == v.raw && literalSecret(v.raw) && !strings.Contains(v.raw, ":"+mask+"@") {
		text = mask
	}
	if v.style == stylePlain && text == v.raw {
		if v.Kind == KindNull && len(v.spans) == 0 {
			return "null"
		}
		if written := resolve(text); written != KindString && written == v.Kind ||
			len(v.spans) > 0 && plainText.MatchString(text) {
			return text
		}
	}
	if plainText.MatchString(text) && resolve(text) == KindString && !legacyBool.MatchString(text) {
		return text
	}
	return quote(text)
}

func quoteKey(name string) string {
	if plainKey.MatchString(name) && resolve(name) == KindString {
		return name
	}
	return quote(name)
}

// quote writes text in double quotes; JSON's escapes are YAML's.
func quote(text string) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		return `""`
	}
	return strings.NewReplacer("\u007f", `\x7f`, "\ufeff", `\ufeff`, "\u0085", `\u0085`).
		Replace(strings.TrimSuffix(b.String(), "\n"))
}

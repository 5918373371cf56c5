package sockopt

import (
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// IPv6 is beyond these options, and ipvsadm and keepalived refuse it by
// themselves, before they would call. So when one asks what there is, as both
// do at their start and keepalived when it reloads, the supervisor looks at
// what it was told, and says what to do.

// What is looked at of a caller, at most.
const (
	maxArguments     = 64 << 10
	maxConfiguration = 1 << 20
	maxFiles         = 32
)

// collected is how the name of the memory begins in which keepalived has all
// of its configuration, with what that includes.
const collected = "/memfd:/keepalived/"

// sayBeyond says what to do with IPv6 services that the caller was told of.
func (o *options) sayBeyond(c *caller) {
	if first := c.beyond(); first != "" && c.listener.valid(c.id) {
		o.log.Warn("IPv6 services are beyond these socket options (operation not supported): give them to lvx adm, or to lvx run --rules", "first", first)
	}
}

// beyond returns the first IPv6 service that the caller was told of.
func (c *caller) beyond() string {
	words := strings.Split(c.text("cmdline", maxArguments), "\x00")
	if path.Base(words[0]) == "ipvsadm" {
		return beyondArguments(words[1:])
	}
	for n := range maxFiles {
		name := "fd/" + strconv.Itoa(n)
		if link, err := c.link(name); err == nil && strings.HasPrefix(link, collected) {
			return beyondConfiguration(c.text(name, maxConfiguration))
		}
	}
	return ""
}

// beyondArguments finds IPv6 in ipvsadm's arguments: an address, in brackets
// or not, or what makes a firewall mark's service one of IPv6.
func beyondArguments(words []string) string {
	for _, word := range words {
		if word == "-6" || word == "--ipv6" {
			return word
		}
		for _, part := range strings.FieldsFunc(word, func(r rune) bool { return strings.ContainsRune("[]=", r) }) {
			if is6(part) {
				return part
			}
		}
	}
	return ""
}

var (
	inBraces = regexp.MustCompile(`\$\{(\w+)\}`)
	braces   = strings.NewReplacer("{", " { ", "}", " } ")
)

// beyondConfiguration finds IPv6 in keepalived's virtual servers and groups of
// them, be it by a name that is defined for it. VRRP may have it.
func beyondConfiguration(text string) string {
	named := map[string]string{} // by $NAME
	group, before := false, ""
	for line := range strings.Lines(text) {
		if comment := strings.IndexAny(line, "#!"); comment >= 0 {
			line = line[:comment]
		}
		if name, value, ok := strings.Cut(line, "="); ok && strings.HasPrefix(name, "$") {
			named[name] = strings.TrimSpace(value)
			continue
		}
		for _, word := range strings.Fields(braces.Replace(inBraces.ReplaceAllString(line, "$$$1"))) {
			if value, ok := named[word]; ok {
				word = value
			}
			switch {
			case (group || before == "virtual_server") && is6(word), (group || before == "ip_family") && word == "inet6":
				return word
			case word == "virtual_server_group":
				group = true
			case word == "}":
				group = false
			}
			before = word
		}
	}
	return ""
}

// is6 reports whether a word is an IPv6 address, or a range or prefix of them.
func is6(word string) bool {
	if end := strings.IndexAny(word, "-/"); end >= 0 {
		word = word[:end]
	}
	a, err := netip.ParseAddr(word)
	return err == nil && a.Is6()
}

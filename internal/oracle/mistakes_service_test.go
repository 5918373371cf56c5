package oracle

// serviceMistakes are in what an administrator says and sees, and in what
// FTP does.
var serviceMistakes = []mistake{
	{"a new server is the last of its list", "golden-kernel-lists", "service/set.go",
		"slices.Concat([]Server{e.Server}, servers)",
		"slices.Concat(servers, []Server{e.Server})"},
	{"an edited service has lost its servers", "golden-kernel-lists", "service/set.go",
		"Configured{v, x.Servers}",
		"Configured{v, nil}"},
	{"a server is added twice", "golden-admin", "service/set.go",
		"e.Op == AddServer && at >= 0",
		"e.Op == AddServer && at > 0"},
	{"lists are in the order of addresses", "list-order", "service/order.go",
		"return int(int32(a - b))",
		"return cmp.Compare(a, b)"},
	{"a mark rule for a longer prefix hides all others", "marks-persistence", "service/zone.go",
		"r.Prefix.Bits() <= p.Bits()",
		"r.Prefix.Bits() == p.Bits()"},
	{"FTP: PASV is understood in capitals only", "ftp-texts", "ftp/ipvs.go",
		"bytes.EqualFold(rest[:6],",
		"bytes.Equal(rest[:6],"},
}

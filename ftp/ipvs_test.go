package ftp

import (
	"testing"
)

func TestWhatIPVSTakesForARequest(t *testing.T) {
	for _, c := range []struct {
		text   string
		mode   Mode
		client string
	}{
		{"PASV\r\n", Passive, ""},
		{"USER joe\r\nPaSv\r\nLIST\r\n", Passive, ""},
		{"STOR PASV\r\n", Passive, ""},
		{"PASV\n", None, ""},
		{"PASV \r\n", None, ""},
		{"EPSV\r\n", Extended, ""},
		{"epsv 1\r\n", Extended, ""},
		{"EPSV ALL\r\nPASV\r\n", None, ""},
		{"EPSV 1", None, ""},
		{"PORT 198,51,100,7,19,137\r\n", Active, "198.51.100.7:5001"},
		{"port  198,51,100,7,19,137 and more", Active, "198.51.100.7:5001"},
		{"PORT 198,51,100,7,19,137", None, ""},
		{"PORT 198,51,100,7\r\n", None, ""},
		{"PORT\r\n", None, ""},
		{"TYPE I\r\nPORT 198,51,100,7,19,137\r\n", None, ""},
		{"EPRT |1|198.51.100.7|5001|\r\n", Active, "198.51.100.7:5001"},
		{"EPRT  |1|198.51.100.7|5001|x", Active, "198.51.100.7:5001"},
		{"eprt |2|2001:db8:7::7|5001|\r\n", Active, "[2001:db8:7::7]:5001"},
		{"EPRT |1|198.51.100.7|5001", None, ""},
		{"EPRT ", None, ""},
		{"EPRT", None, ""},
		{"NOOP\r\nEPRT |1|198.51.100.7|5001|\r\n", None, ""},
		{"", None, ""},
	} {
		if got := ReadRequestAsIPVS([]byte(c.text)); got != (Request{c.mode, end(c.client)}) {
			t.Errorf("%q: %+v", c.text, got)
		}
	}
}

func TestWhatIPVSTakesForAnAnswer(t *testing.T) {
	for _, c := range []struct {
		text   string
		mode   Mode
		server string
	}{
		{"227 Entering Passive Mode (10,0,0,11,195,80).\r\n", Passive, "10.0.0.11:50000"},
		{"227 10,0,0,11,195,80.", Passive, "10.0.0.11:50000"},
		{"200 ok\r\n227 (10,0,0,11,195,80).\r\n", Passive, ""},
		{"229 ok (|||50000|)\r\n", Extended, "[::]:50000"},
		{"200 ok\r\n229 ok (|||50000|)\r\n", Extended, ""},
	} {
		got, ok := ReadAnswerAsIPVS([]byte(c.text), c.mode)
		if ok != (c.server != "") || ok && got.Server.Port != end(c.server).Port {
			t.Errorf("%q: %+v, %v", c.text, got, ok)
		}
	}
}

// FuzzAsIPVS: whatever they say, no panic, and what is found lies in the text.
func FuzzAsIPVS(f *testing.F) {
	for _, text := range []string{"PASV\r\n", "EPSV 1\r\n", "PORT 1,2,3,4,5,6\r\n", "EPRT |2|::1|5|\r\n", "227 (1,2,3,4,5,6)\r\n", "229 (|||5|)\r\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		ReadRequestAsIPVS(text)
		for _, mode := range []Mode{Passive, Extended} {
			if a, ok := ReadAnswerAsIPVS(text, mode); ok && (a.At < 0 || a.End < a.At || a.End > len(text)) {
				t.Fatalf("%q: %+v", text, a)
			}
		}
	})
}

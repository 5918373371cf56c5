package bench

import (
	"fmt"
	"math"
	"strings"
)

// Plot is a chart of lines over a logarithmic or linear axis, drawn as SVG.
type Plot struct {
	Title, X, Y string
	LogX, LogY  bool
	Labels      []string // of the X values 0, 1, 2...; nil = numbers
	Lines       []Line
}

// Line is one line of a Plot, with the least and the most of each point.
type Line struct {
	Name   string
	X      []float64
	Points []Spread
}

const (
	plotWidth, plotHeight = 720, 400
	left, right           = 70, 20
	top, bottom           = 50, 60
)

// colours can be told apart by most people, and in print.
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"}

// scale maps values to places on an axis.
type scale struct {
	low, high float64
	from, to  float64
	log       bool
}

func (s scale) at(v float64) float64 {
	low, high := s.low, s.high
	if s.log {
		v, low, high = math.Log10(v), math.Log10(low), math.Log10(high)
	}
	if high == low {
		return s.from
	}
	return s.from + (v-low)/(high-low)*(s.to-s.from)
}

// ticks are round values along the axis.
func (s scale) ticks() (at []float64) {
	if s.log {
		for v := math.Pow(10, math.Floor(math.Log10(s.low))); v <= s.high*1.001; v *= 10 {
			if v >= s.low*0.999 {
				at = append(at, v)
			}
		}
		return at
	}
	step := math.Pow(10, math.Floor(math.Log10(s.high-s.low)))
	for (s.high-s.low)/step < 4 {
		step /= 2
	}
	for v := math.Ceil(s.low/step) * step; v <= s.high*1.001; v += step {
		at = append(at, v)
	}
	return at
}

// scales are the axes that hold all points.
func (p *Plot) scales() (x, y scale) {
	x = scale{math.Inf(1), math.Inf(-1), left, plotWidth - right, p.LogX}
	y = scale{math.Inf(1), math.Inf(-1), plotHeight - bottom, top, p.LogY}
	for _, l := range p.Lines {
		for i, s := range l.Points {
			x.low, x.high = min(x.low, l.X[i]), max(x.high, l.X[i])
			y.low, y.high = min(y.low, s.Least), max(y.high, s.Most)
		}
	}
	if p.LogY {
		y.low, y.high = math.Pow(10, math.Floor(math.Log10(y.low))), math.Pow(10, math.Ceil(math.Log10(y.high)))
	} else {
		y.low, y.high = 0, y.high*1.05
	}
	return x, y
}

// SVG draws the plot.
func (p *Plot) SVG() string {
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	put(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`, plotWidth, plotHeight)
	put(`<rect width="100%%" height="100%%" fill="white"/>`)
	put(`<text x="%d" y="20" font-size="14" font-weight="bold">%s</text>`, left, escape(p.Title))
	if x, y := p.scales(); !math.IsInf(x.low, 0) {
		p.axes(put, x, y)
		for i, l := range p.Lines {
			p.line(put, x, y, l, colours[i%len(colours)], i)
		}
	}
	put(`</svg>`)
	return b.String()
}

func (p *Plot) axes(put func(string, ...any), x, y scale) {
	for _, v := range y.ticks() {
		put(`<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`,
			left, plotWidth-right, y.at(v), y.at(v), left-6, y.at(v)+4, number(v))
	}
	if p.Labels != nil {
		for i, label := range p.Labels {
			put(`<text x="%.1f" y="%d" text-anchor="middle">%s</text>`, x.at(float64(i)), plotHeight-bottom+18, escape(label))
		}
	} else {
		for _, v := range x.ticks() {
			put(`<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`,
				x.at(v), x.at(v), top, plotHeight-bottom, x.at(v), plotHeight-bottom+18, number(v))
		}
	}
	put(`<path d="M%d %d V%d H%d" fill="none" stroke="black"/>`, left, top, plotHeight-bottom, plotWidth-right)
	put(`<text x="%d" y="%d" text-anchor="middle">%s</text>`, (left+plotWidth-right)/2, plotHeight-18, escape(p.X))
	put(`<text transform="translate(16 %d) rotate(-90)" text-anchor="middle">%s</text>`, (top+plotHeight-bottom)/2, escape(p.Y))
}

// line draws the medians, a bar from the least to the most of each, and the
// name in the legend.
func (p *Plot) line(put func(string, ...any), x, y scale, l Line, colour string, place int) {
	var path []string
	for i, s := range l.Points {
		px, py := x.at(l.X[i]), y.at(s.Median)
		path = append(path, fmt.Sprintf("%.1f,%.1f", px, py))
		put(`<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="%s" stroke-opacity="0.5"/><circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`,
			px, px, y.at(s.Least), y.at(s.Most), colour, px, py, colour)
	}
	put(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, strings.Join(path, " "), colour)
	at := left + place*130
	put(`<line x1="%d" x2="%d" y1="36" y2="36" stroke="%s" stroke-width="2"/><text x="%d" y="40">%s</text>`, at, at+20, colour, at+25, escape(l.Name))
}

func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1e6:
		return fmt.Sprintf("%gM", v/1e6)
	case a >= 1e3:
		return fmt.Sprintf("%gk", v/1e3)
	}
	return fmt.Sprintf("%.3g", v)
}

var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace

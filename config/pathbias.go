package config

import (
	"strconv"
	"strings"
)

// PathBias are thresholds for circuits that fail; a negative one is the consensus's.
type PathBias struct {
	PathBiasCircThreshold     int
	PathBiasNoticeRate        float64
	PathBiasWarnRate          float64
	PathBiasExtremeRate       float64
	PathBiasScaleThreshold    int
	PathBiasUseThreshold      int
	PathBiasNoticeUseRate     float64
	PathBiasExtremeUseRate    float64
	PathBiasScaleUseThreshold int
}

const (
	pathBiasEffect  = "From the next circuit on."
	pathBiasDiffers = "A low rate is told, and never keeps a guard from being used."
)

var pathBiasOptions = []Option{
	threshold("PathBiasCircThreshold", "Circuits through a guard before the share of them that fail is looked at", 5, 150,
		func(c *Config) *int { return &c.PathBiasCircThreshold }),
	rate("PathBiasNoticeRate", "Tell, at level notice, when a smaller share of the circuits through a guard is built and stays whole", 0.7,
		func(c *Config) *float64 { return &c.PathBiasNoticeRate }),
	rate("PathBiasWarnRate", "The same at level warn", 0.5, func(c *Config) *float64 { return &c.PathBiasWarnRate }),
	rate("PathBiasExtremeRate", "The same at level extreme", 0.3, func(c *Config) *float64 { return &c.PathBiasExtremeRate }),
	threshold("PathBiasScaleThreshold", "Beyond so many circuits through a guard, older ones count less", 10, 300,
		func(c *Config) *int { return &c.PathBiasScaleThreshold }),
	threshold("PathBiasUseThreshold", "Used circuits through a guard before the share of them on which nothing answers is looked at", 3, 20,
		func(c *Config) *int { return &c.PathBiasUseThreshold }),
	rate("PathBiasNoticeUseRate", "Tell, at level notice, when something answers on a smaller share of the used circuits through a guard", 0.8,
		func(c *Config) *float64 { return &c.PathBiasNoticeUseRate }),
	rate("PathBiasExtremeUseRate", "The same at level extreme", 0.6, func(c *Config) *float64 { return &c.PathBiasExtremeUseRate }),
	threshold("PathBiasScaleUseThreshold", "Beyond so many used circuits through a guard, older ones count less", 10, 100,
		func(c *Config) *int { return &c.PathBiasScaleUseThreshold }),
}

// fromConsensus says what -1 means.
func fromConsensus(doc, def string) string {
	return doc + ". -1 is what the consensus says, " + def + " if it says nothing."
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func threshold(name, doc string, least, def int, field func(*Config) *int) Option {
	o := Option{
		Name: name, Default: "-1", Class: Hot, Effect: pathBiasEffect, Unit: "circuits", Type: "number",
		Range: "-1, or " + strconv.Itoa(least) + " to 1000000",
		Doc:   fromConsensus(doc, strconv.Itoa(def)),
	}
	o.apply = func(b *builder, l Line) {
		n, err := strconv.Atoi(l.Value)
		if err != nil || n != -1 && (n < least || n > 1_000_000) {
			b.fail(l, ErrValue, "%q is not a whole number: %s", clip(l.Value), o.Range)
			return
		}
		*field(&b.cfg) = n
	}
	o.show = func(c *Config) []string { return []string{strconv.Itoa(*field(c))} }
	o.keep = func(dst, running *Config) { *field(dst) = *field(running) }
	return o
}

func rate(name, doc string, def float64, field func(*Config) *float64) Option {
	o := Option{
		Name: name, Default: "-1", Class: Hot, Effect: pathBiasEffect, Type: "fraction", Range: "-1, or 0 to 1",
		Doc:     fromConsensus(doc, decimal(def)),
		Differs: pathBiasDiffers,
	}
	o.apply = func(b *builder, l Line) {
		v, err := strconv.ParseFloat(l.Value, 64)
		if err != nil || strings.ContainsAny(l.Value, "xXpP_nN") || v != -1 && !(v >= 0 && v <= 1) {
			b.fail(l, ErrValue, "%q is not a fraction: %s", clip(l.Value), o.Range)
			return
		}
		*field(&b.cfg) = v
	}
	o.show = func(c *Config) []string { return []string{decimal(*field(c))} }
	o.keep = func(dst, running *Config) { *field(dst) = *field(running) }
	return o
}

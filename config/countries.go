package config

import (
	"slices"
	"strings"
)

// countries are the codes of ISO 3166-1 that are assigned, with those beside them that
// GeoIP files use: ?? for no country, xk for Kosovo, eu and ap for regions, a1, a2 and o1
// for proxies, satellites and what is elsewhere.
var countries = strings.Fields(`
ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bl bm bn bo bq br bs bt bv bw by bz
ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg eh er es et fi fj fk fm fo fr
ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp
ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mf mg mh mk ml mm mn mo mp mq mr ms mt
mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw
sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz
ua ug um us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw
?? xk eu ap a1 a2 o1`)

// unknownCountries are members that no relay is in, but by a GeoIP file of one's own.
func (s *NodeSet) unknownCountries() []string {
	return slices.DeleteFunc(slices.Clone(s.Countries), func(c string) bool { return slices.Contains(countries, c) })
}

func braced(codes []string) string { return "{" + strings.Join(codes, "}, {") + "}" }

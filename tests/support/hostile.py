"""Texts that try to be more than text."""

_MARKUP = r"""
<script>alert(1)</script>
<ScRiPt src=//x></sCrIpT>
<script
</script>
<svg onload=alert(1)>
<body onload=alert(1)>
<iframe src=//x onload=alert(1)>
<img src=x onerror=alert(1)>
<img src=x onerror=alert`1`>
<img src=x onerror='alert("1")'>
<style>*{color:red}</style>
<link rel=stylesheet href=//x>
<object data=//x>
<embed src=//x>
<base href=//x>
<meta http-equiv=refresh content=0>
<form action=//x><input autofocus>
<template><b>x</b></template>
<plaintext>
<xmp>
<noscript>
<details open ontoggle=alert(1)>
<video><source onerror=alert(1)>
<a href=javascript:alert(1)>x</a>
</style><script>alert(1)</script>
</title><script>alert(1)</script>
</td><script>alert(1)</script>
</table><script>alert(1)</script>
</svg><script>alert(1)</script>
</text><script>alert(1)</script>
</main><script>alert(1)</script>
</pre><script>alert(1)</script>
</dl><script>alert(1)</script>
</html><script>alert(1)</script>
<svg><script>alert(1)</script></svg>
<svg><style><img src=x></style></svg>
<svg><foreignObject><p>x</p></foreignObject></svg>
<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>
<svg><animate onbegin=alert(1)>
<svg><use href='data:image/svg+xml,<svg/>'>
<math><mtext><script>alert(1)</script>
<math><mi//xlink:href='data:x,<script>alert(1)</script>'>
<math><annotation-xml encoding=text/html><script>alert(1)</script>
<!-- comment
-->
--!><b>x</b>
<!-- --><b>x</b>
<!doctype html>
<!ENTITY x 'y'>
<?xml version='1.0'?>
<![CDATA[
]]>
<![CDATA[<b>x</b>]]>
]]><b>x</b>
&x;
&
&&amp;
&lt;b&gt;x&lt;/b&gt;
&amp;lt;b&amp;gt;
&#60;b&#62;x
&#x3c;b&#x3e;x
&#0;
&notin;
<
>
<<
</
<>
</>
"><b>x</b>
'><b>x</b>
` onclick=alert(1) `
" onfocus=alert(1) autofocus="
' onmouseover='alert(1)
" style="color:red
url(#clip)
#f0-m1
{{ 7 * 7 }}
{{ self.__init__.__globals__ }}
{% raw %}
{% endif %}
{# comment #}
{{
}}
{%
${7*7}
#{7*7}
%s %(x)s
$x^2$
\frac{1}{0}
$\undefined$
_under
../../../etc/passwd
data:text/html,<b>x</b>
=cmd|' /C calc'!A0
$(reboot)
`reboot`
'; reboot; '
""".strip().splitlines()

_CONTROL = [
    *(
        "\x1b[31mred\x1b[0m",
        "\x1b]0;title\x07",
        "\x00null",
        "\r\nSet-Cookie: x",
        "\x7f\x9b",
        "\x85next\u2028line",
    ),
    *(
        "\u202egnp.exe",
        "\u2066isolated\u2069",
        "\ufeffbom",
        "\ud800 alone",
        "\ufffe",
        "  many   spaces  ",
    ),
]
_LONG = ["w" * 500, "\u1e81\u0301" * 50, "漢字" * 40, "🏳️‍🌈" * 20, "ا" * 60]

HOSTILE = [*_MARKUP, *_CONTROL, *_LONG]

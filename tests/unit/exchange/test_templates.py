"""Templates produce what Go's would, or say exactly what they do not know."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchword.exchange.notes import Unreadable
from watchword.exchange.templates import render
from watchword.exchange.values import merged

VALUES: dict[str, Any] = {
    "name": "shop",
    "port": 5432,
    "on": True,
    "off": False,
    "none": None,
    "ports": ["tcp/80", "tcp/443"],
    "nets": [{"name": "a", "cidr": "10.0.0.0/8"}, {"name": "b", "cidr": "10.1.0.0/16"}],
    "tags": {"app": "web", "env": "prod"},
    "quoted": 'a "b" \\ c',
}


def made(text: str, **values: Any) -> str:
    return render(text, "f", {**VALUES, **values}, {"Namespace": "/acme", "API": "https://console"})


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain } text }}", "plain } text }}"),
        ("a: {{ .Values.name }}", "a: shop"),
        ("a: {{.Values.port}}", "a: 5432"),
        ("{{ .Aporeto.Namespace }} {{ .Aporeto.API }}", "/acme https://console"),
        ("{{ .Values.none | default \"x\" }}", "x"),
        ("{{ default 8080 .Values.absent }}", "8080"),
        ("{{ .Values.absent.deeper | default \"x\" | quote }}", '"x"'),
        ("{{ .Values.quoted | quote }}", '"a \\"b\\" \\\\ c"'),
        ("{{ squote \"it's\" }}", "'it''s'"),
        ("x {{- .Values.name -}} y", "xshopy"),
        ("x\n  {{- if .Values.on }}\n  y\n  {{- end }}\nz", "x\n  y\nz"),
        ("{{/* nothing */}}a{{- /* }} */ -}} b", "ab"),
        ("{{ if .Values.off }}a{{ else if .Values.absent }}b{{ else }}c{{ end }}", "c"),
        ("{{ if and .Values.on (eq .Values.port 5432) }}yes{{ end }}", "yes"),
        ("{{ if or .Values.absent .Values.name }}yes{{ end }}", "yes"),
        ("{{ if not .Values.ports }}a{{ else }}b{{ end }}", "b"),
        ("{{ range .Values.ports }}- {{ . }}\n{{ end }}", "- tcp/80\n- tcp/443\n"),
        ("{{ range $i, $net := .Values.nets }}{{ $i }}{{ $net.cidr }} {{ end }}", "010.0.0.0/8 110.1.0.0/16 "),
        ("{{ range $key, $value := .Values.tags }}{{ $key }}={{ $value }};{{ end }}", "app=web;env=prod;"),
        ("{{ range .Values.nets }}{{ .name }}{{ $.Values.port }}{{ end }}", "a5432b5432"),
        ("{{ range .Values.absent }}x{{ else }}none{{ end }}", "none"),
        ("{{ with .Values.tags }}{{ .app }}{{ end }}", "web"),
        ("{{ $x := .Values.name }}{{ if .Values.on }}{{ $x = \"other\" }}{{ end }}{{ $x }}", "other"),
        ("{{ printf \"%s:%d %q %%\" .Values.name .Values.port \"x\" }}", 'shop:5432 "x" %'),
        ("{{ join \",\" .Values.ports | upper }}", "TCP/80,TCP/443"),
        ("a:{{ .Values.ports | toYaml | nindent 2 }}", "a:\n  - tcp/80\n  - tcp/443"),
        ("{{ toJson .Values.tags }}", '{"app": "web", "env": "prod"}'),
        ("{{ index .Values.ports 1 }} {{ index .Values.tags \"app\" }} {{ len .Values.ports }}", "tcp/443 web 2"),
        ("{{ (index .Values.nets 0).cidr }}", "10.0.0.0/8"),
        ("{{ ternary \"a\" \"b\" .Values.on }}{{ coalesce .Values.absent .Values.none \"z\" }}", "az"),
        ("{{ replace \".\" \"-\" \"a.b\" }}{{ trimPrefix \"a\" \"abc\" }}{{ \"`\" }}{{ `raw\"` }}", "a-bbc`raw\""),
        ("{{ eq .Values.absent \"x\" }} {{ lt 1 2 }} {{ has \"tcp/80\" .Values.ports }}", "false true true"),
        ("{{ \"}}\" }}{{ true }}", "}}true"),
    ],
)  # fmt: skip
def test_what_templates_produce(text: str, result: str) -> None:
    assert made(text) == result


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a\n{{ .Values.absent }}", "f, line 2: .Values.absent is not given; give it with --set absent="),
        ("{{ .Values.none }}", "is null"),
        ("{{ .Values.ports }}", "toYaml"),
        ("{{ .Values.name.deeper }}", "has no fields"),
        ("{{ include \"x\" . }}", "include is not supported"),
        ("{{ define \"x\" }}{{ end }}", "define is not supported"),
        ("{{ template \"x\" }}", "template is not supported"),
        ("\n\n{{ sha256sum .Values.name }}", "f, line 3: there is no function sha256sum"),
        ("{{ env \"HOME\" }}", "there is no function env"),
        ("{{ if .Values.on }}", "is never closed"),
        ("{{ range .Values.ports }}", "is never closed"),
        ("{{ end }}", "closes nothing"),
        ("{{ if .Values.on }}{{ else }}{{ else }}{{ end }}", "after the last one"),
        ("{{ .Values.name", "does not end"),
        ("{{ }}", "incomplete"),
        ("{{ \"a }}", "cannot be read"),
        ("{{/* x }}", "comment"),
        ("{{ $x }}", "not declared"),
        ("{{ $x = 1 }}", "not declared"),
        ("{{ if .Values.on }}{{ $x := 1 }}{{ end }}{{ $x }}", "not declared"),
        ("{{ .Values.name .Values.port }}", "stands after a value"),
        ("{{ .Values.name | .Values.port }}", "no function"),
        ("{{ (.Values.name }}", "never closed"),
        ("{{ required \"the port\" .Values.absent }}", "the port"),
        ("{{ range .Values.name }}{{ end }}", "range wants a list"),
        ("{{ lt 1 \"a\" }}", "different kinds"),
        ("{{ indent 100000 \"a\" }}", "indent by 100000"),
        ("{{ printf \"%1000000000d\" 1 }}", "printf does not take"),
        ("{{ upper }}", "does not take 0"),
        ("{{ .Values.a & b }}", "cannot be read"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "nested deeper"),
        ("{{ if 1 }}" * 5000 + "{{ end }}" * 5000, "nested deeper"),
    ],
)  # fmt: skip
def test_what_they_refuse(text: str, complaint: str) -> None:
    with pytest.raises(Unreadable) as caught:
        made(text)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        # each doubles, or loops in loops
        "{{ $x := \"aaaaaaaaaaaaaaaa\" }}" + "{{ $x = print $x $x $x $x }}" * 40,
        "{{ $x := \"a\" }}" + "{{ $x = replace \"a\" \"aaaaaaaa\" $x }}" * 40,
        "{{ $x := list 1 }}" + "{{ $x = list $x $x }}" * 60 + "{{ toJson $x }}",
        "{{ $x := list 1 }}" + "{{ $x = list $x $x }}" * 60 + "{{ $x | toYaml }}",
        "{{ $x := list 1 }}" + "{{ $x = list $x $x }}" * 60 + "{{ int $x }}",
        "{{ $x := list 1 }}{{ $y := list 1 }}" + "{{ $x = list $x $x }}{{ $y = list $y $y }}" * 60 + "{{ eq $x $y }}",
        "{{ range .Values.many }}" * 12 + "x" + "{{ end }}" * 12,
        "{{ $x := join \"\" .Values.many }}{{ $x = join $x .Values.many }}{{ $x = join $x .Values.many }}"
        "{{ $x = join $x .Values.many }}",
    ],
)  # fmt: skip
def test_bombs_fizzle(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(Unreadable):
        made(text, many=["x" * 10] * 200)
    assert time.process_time() - begun < 10


PIECES = st.sampled_from(
    [
        *("{{", "}}", "{{-", "-}}", "{{if", "{{end}}", "{{else}}", "{{range", "{{with", ".Values", ".name", "$", "$x"),
        *(":=", "|", "(", ")", '"', "`", "quote", "default", "1", "a", "/*", "*/", "eq", "list", ",", "\\", " ", "\n"),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES | st.text(max_size=3), max_size=25).map("".join))
def test_no_text_gets_anything_else_out_of_it(text: str) -> None:
    try:
        produced, refusal = made(text), None
    except Unreadable as error:
        produced, refusal = "", error
    assert isinstance(produced, str)
    assert refusal is None or (refusal.place.startswith("f, line ") and refusal.remedy)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30).filter(lambda text: "{{" not in text))
def test_text_without_actions_stays_as_it_is(text: str) -> None:
    assert render(text, "f", {}) == text


def test_values_from_files_and_the_command_line() -> None:
    files = [("a", {"x": {"a": 1, "b": 2}, "y": [1]}), ("b", {"x": {"b": 3}})]
    values = merged(files, ["x.c=t", "y={tcp/80,443}", "n=007", "v=1.10", "t=true", "e=", "neg=-5", "u=null", "q=a=b"])
    assert values == {
        "x": {"a": 1, "b": 3, "c": "t"},
        "y": ["tcp/80", 443],
        "n": "007",
        "v": "1.10",
        "t": True,
        "e": "",
        "neg": -5,
        "u": "null",
        "q": "a=b",
    }
    for wrong in ("x", "=1", "a b=1", "a..b=1", ".".join("a" * 40) + "=1", "a[0]=1"):
        with pytest.raises(Unreadable, match="name=value"):
            merged([], [wrong])
    with pytest.raises(Unreadable, match="no mapping"):
        merged([("f", [1])], [])

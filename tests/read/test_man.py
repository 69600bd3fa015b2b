"""Manual pages lose no letter that roff writes by a name or a number."""

import pytest

SIGNS = {
    r"caf\('e \[:u]ber": "caf\xe9 \xfcber",
    r"\[u00E9]\[u0065_0301] \[u1F600]": "\xe9\xe9 \U0001f600",
    r"Stra\(sse \(oe \(/o \(oa": "Stra\xdfe \u0153 \xf8 \xe5",
    r"a\(lBb\(rB a\~b 20\(de": "a[b] a b 20\xb0",
    r"\(lqquoted\(rq \[oq]x\[cq]": "\u201cquoted\u201d \u2018x\u2019",
    r"\[uD800]\[uFFFFFF] \[no-such]end": "\ufffd\ufffd end",
}


@pytest.mark.parametrize("written", SIGNS)
def test_letters_that_have_names(entry, written):
    assert entry("a.1", f".TH a 1\n.SH A\n{written}\n").text.endswith("\n" + SIGNS[written])

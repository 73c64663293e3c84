"""Make `docs/_static/katex` from a package of KaTeX: its script, its style with eight fonts in it, and its licence.

    npm pack katex@0.19.1
    python docs/_ext/vendor_katex.py katex-0.19.1.tgz

The fonts stand in the style as data, because a browser may refuse to load them by path from a page that is a file. Our
formulas need no other font: `tests/docs/test_formulas.py` looks.
"""

import base64
import re
import sys
import tarfile
from pathlib import Path

from swingup.files import write_atomic

HERE = Path(__file__).resolve().parent.parent / "_static" / "katex"
FONTS = frozenset(
    [
        *("Main-Regular", "Math-Italic", "AMS-Regular", "Caligraphic-Regular"),
        *(f"Size{i}-Regular" for i in range(1, 5)),
    ]
)


def main() -> None:
    with tarfile.open(sys.argv[1]) as package:

        def read(name: str) -> bytes:
            file = package.extractfile(f"package/{name}")
            assert file is not None, name
            return file.read()

        def face(match: re.Match) -> str:
            """Return a font's rule with the font in it, or nothing for one that we do not need."""
            found = re.search(r"fonts/KaTeX_([\w-]+)\.woff2", match[0])
            if found is None or found[1] not in FONTS:
                return ""
            data = base64.b64encode(read(f"dist/fonts/KaTeX_{found[1]}.woff2")).decode()
            source = f'src:url(data:font/woff2;base64,{data}) format("woff2")'
            return re.sub(r"src:[^;}]*", source, match[0])

        style = re.sub(r"@font-face\{[^}]*\}", face, read("dist/katex.min.css").decode())
        HERE.mkdir(parents=True, exist_ok=True)
        write_atomic(HERE / "katex.css", style.encode())
        write_atomic(HERE / "katex.min.js", read("dist/katex.min.js"))
        write_atomic(HERE / "LICENSE", read("LICENSE"))


if __name__ == "__main__":
    main()

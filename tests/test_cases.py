"""Small inputs that once failed, each a shell script that exits 0 when the behaviour is right; its first line says what is right.

They lie beside the checkout, in ../shared/cases, or where KVZOO_TEST_CASES says. CI runs them; here they are slow.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

FOLDER = Path(os.environ.get("KVZOO_TEST_CASES") or ROOT.parent / "shared" / "cases")
CASES = sorted(file for file in FOLDER.glob("*.sh") if file.stem not in ("all", "lib"))
NEEDS_FFMPEG = re.compile(r"\bff(mpeg|probe)\b|\bvideo ")


@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(c, id=c.stem) for c in CASES])
def test_case_holds(case, tmp_path):
    if NEEDS_FFMPEG.search(case.read_text()) and not shutil.which("ffmpeg"):
        pytest.skip("makes its files with FFmpeg's command line, which is not installed")
    folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", case], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stderr or done.stdout)[-2000:]

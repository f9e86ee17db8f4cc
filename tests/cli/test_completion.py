"""What does a shell offer?"""

import os
import subprocess
import sys

import pytest

from convbench.cli.completion import among, backends, listed, shapes, suites


def test_the_last_word_of_a_list_is_completed() -> None:
    assert listed(backends)("torch,onednn") == ["torch,onednn", "torch,onednn-prepacked"]
    assert listed(among(["fp32", "fp16"]))("fp1") == ["fp16"]
    assert "resnet50" in listed(suites)("res")
    assert listed(shapes)("resnet50:conv") == ["resnet50:conv1"]
    assert "resnet50:" in listed(shapes)("resn")
    assert listed(shapes)("nowhere:") == []


@pytest.mark.parametrize(("words", "offered"), [("bench --suite mobile", "mobilenet_v2"), ("explain not", "note")])
def test_a_shell_is_answered_without_torch(words: str, offered: str) -> None:
    line = f"convbench {words}"
    asked = {"_CONVBENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    script = "import sys\nfrom convbench.cli import main\ntry:\n main([])\nfinally:\n print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ | asked
    )
    assert done.stdout.split()[-1] == "False"
    assert offered in done.stdout.split()

"""`reflash` and `snakemake` from a process that has imported everything, for studies of tests.

A study of the tests is a hundred commands of a second's work, each of which imports for three.
`warm_commands` starts a server that imports once and forks for each command, and returns a folder
for the front of PATH whose programs ask it; its file `functions` does the same as BASH_ENV, where
PATH is changed on the way. What runs are the same functions, with the arguments, folder,
environment and output of the caller; where that sets OWN_CODE, the package is imported again, from
its PYTHONPATH. Tests of how commands start, end and are stopped do without.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

CLIENT = """#!{python} -IS
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [b"+"], [0, 1, 2])
words = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
call = {{"arguments": words, "folder": os.getcwd(), "environment": dict(os.environ)}}
server.sendall(json.dumps(call).encode())
server.shutdown(socket.SHUT_WR)
sys.exit(int(server.recv(8) or 1))
"""


@cache
def warm_commands() -> Path:
    """Return the folder; the server ends with this process, however that ends."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    address, programs = str(folder / "server"), folder / "bin"
    programs.mkdir()
    for name in ("reflash", "snakemake"):
        (programs / name).write_text(CLIENT.format(python=sys.executable, address=address))
        (programs / name).chmod(0o755)
    (programs / "functions").write_text(f'reflash() {{ {programs}/reflash "$@"; }}\n')
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    server = subprocess.Popen(
        [sys.executable, __file__, address],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.kill)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    return programs


def _import_all() -> None:
    import matplotlib.backends.backend_agg
    import matplotlib.backends.backend_pdf  # noqa: F401
    import seaborn  # noqa: F401
    import sklearn.datasets
    import sklearn.manifold  # noqa: F401
    import snakemake.cli
    import snakemake.workflow  # noqa: F401
    import torch
    import torch._dynamo  # what torch.optim imports late

    from reflash.cli import main  # noqa: F401
    from reflash.core.fingerprint import STAGES, stage_fingerprint
    from reflash.evaluation import evaluate, upscale  # noqa: F401
    from reflash.paper.claims import tests  # noqa: F401
    from reflash.paper.figures import drawing  # noqa: F401
    from reflash.report import page  # noqa: F401
    from reflash.study import plan  # noqa: F401
    from reflash.training import trainer  # noqa: F401

    torch.set_num_threads(1)
    for stage in STAGES:
        stage_fingerprint(stage)


def _serve(address: str) -> None:
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen(64)
    _import_all()
    print("ready", flush=True)
    # The pipe to the tests ends when they do, killed or not.
    while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
        caller, _ = server.accept()
        if os.fork() == 0:
            if os.fork() == 0:  # a grandchild, which init buries
                server.close()
                _run(caller)
            os._exit(0)
        os.wait()
        caller.close()


def _run(caller: socket.socket) -> None:
    status = 1
    try:
        _, streams, _, _ = socket.recv_fds(caller, 1, 3)
        text = b"".join(iter(lambda: caller.recv(1 << 16), b""))
        call = json.loads(text)
        for ours, theirs in enumerate(streams):
            os.dup2(theirs, ours)
        os.chdir(call["folder"])
        os.environ.clear()
        os.environ.update(call["environment"])
        sys.argv = call["arguments"]
        if "OWN_CODE" in os.environ:  # a copy whose code is not this project's
            for name in [name for name in sys.modules if name.split(".")[0] == "reflash"]:
                del sys.modules[name]
            own = os.environ["PYTHONPATH"].split(os.pathsep)[0]
            sys.path[sys.path.index(str(ROOT / "src"))] = own
        if sys.argv[0] == "snakemake":
            from snakemake.cli import main
        else:
            from reflash.cli import main
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        caller.sendall(str(status).encode())
        os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])

"""Every verb and sub-verb with a command line."""

# Each verb and sub-verb: a command line, and its exit code.
ROWS = {
    "fit": ("fit r.yaml --out run", 0),
    "resume": ("resume run -o fit.steps=4", 0),
    "list": ("list", 0),
    "info": ("info speednet", 0),
    "explain": ("explain r.yaml", 0),
    "runs": ("runs .", 0),
    "report": ("report run", 0),
    "evaluate": ("evaluate run --clips 4", 0),
    "reconstruct": ("reconstruct run v.mp4 --out reconstruct.mp4", 0),
    "anomaly": ("anomaly run v.mp4 --out anomaly", 0),
    "interpolate": ("interpolate flow v.mp4 --factor 3 --out interpolate.mp4", 0),
    "predict": ("predict future v.mp4 --frames 3 --out predict.mp4", 0),
    "speed": ("speed speed v.mp4 --out speeds", 0),
    "speedup": ("speedup speed v.mp4 --out speedup.mp4 --rate 1.5", 0),
    "saliency": ("saliency speed v.mp4 --out saliency.mp4", 0),
    "embed": ("embed speed v.mp4 --out embed.npz", 0),
    "retrieve": ("retrieve speed v.mp4 gallery --out retrieve.html", 0),
    "generate": ("generate generator --count 2 --out generate.gif", 0),
    "compare": ("compare run twin --out compare --clips 2", 0),
    "data synth": ("data synth stick_actions --out drawn --size 16 -o videos=2 -o seconds=0.2", 0),
    "data check": ("data check gallery", 0),
    "data prepare": ("data prepare gallery --out prepare.h5 --size 16 --workers 1", 0),
    "plugin list": ("plugin list --quick", 0),
    "plugin new": ("plugin new wave-ae", 0),
    "plugin check": ("plugin check gru_ae --row spec", 0),
    "bench": ("bench gru_ea", 2),  # what it measures is for tests/cli/test_bench.py
    "doctor": ("doctor", 0),
}

import time
from pathlib import Path
from chat.client import Client
from chat.driver import ClientOptions
from chat.events import TextDelta
from chat.session import AnswerOptions
from wire.types import Sampling
class NoText:
    def feed(self, t): return ""
    def finish(self): return ""
async def test_zero(tiny_model, run_hosts):
    t0=time.time()
    with run_hosts(tiny_model, ["1:3","3:5"]) as hosts:
        t1=time.time(); print("start", t1-t0)
async def test_one(tiny_model, run_hosts, whole_model_tokens, tmp_path):
    t0=time.time()
    with run_hosts(tiny_model, ["1:3","3:5"]) as hosts:
        t1=time.time(); print("start", t1-t0)
        c=Client(ClientOptions(model=str(tiny_model), contacts=tuple(h.contact for h in hosts), dtype="float32", identity_file=tmp_path/"id", threads=1))
        await c.start(print)
        t2=time.time(); print("client", t2-t1)
        ids=list(range(5,200))
        got=[]
        async for e in c.session.answer(ids, NoText(), AnswerOptions(stop_ids=frozenset(), max_tokens=12, positions=300, sampling=Sampling())):
            if isinstance(e,TextDelta): got+=e.token_ids
        t3=time.time(); print("answer", t3-t2)
        assert got==whole_model_tokens(tiny_model, ids, 12), got
        print("ref", time.time()-t3, got)
        await c.close()
        t4=time.time()
    print("stop", time.time()-t4)

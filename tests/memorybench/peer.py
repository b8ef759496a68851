"""The peer: the least that answers the same question, by FastAPI and psycopg.

POST /lookup finds the ten memories of a scope that have most of the words;
POST /retrieve does the same and records an event. POST /candidates reads what
memory-api orders, 400 memories with their words, and returns the first ten.
"""

import os
import uuid
from datetime import datetime
from json import dumps

import fastapi
import psycopg_pool
from pydantic import BaseModel

LOOKUP = os.environ["PEER_LOOKUP"]
CANDIDATES = os.environ["PEER_CANDIDATES"]
RECORD = os.environ["PEER_RECORD"]

pool = psycopg_pool.AsyncConnectionPool(
    os.environ["PEER_DSN"],
    min_size=int(os.environ["PEER_CONNECTIONS"]),
    max_size=int(os.environ["PEER_CONNECTIONS"]),
    timeout=900,  # who asks in a large scope may wait for minutes, and is to be measured
    open=False,
)
app = fastapi.FastAPI()


@app.on_event("startup")
async def start():
    await pool.open(wait=True)


@app.on_event("shutdown")
async def stop():
    await pool.close()


class Question(BaseModel):
    query: str
    scope: str
    limit: int = 10


class Memory(BaseModel):
    id: uuid.UUID
    summary: str
    speaker: str
    occurred_at: datetime | None
    score: float


class Answer(BaseModel):
    memories: list[Memory]


async def find(conn, q: Question, query=LOOKUP, most=0) -> list[Memory]:
    rows = await (await conn.execute(query, {"scope": q.scope, "question": q.query, "most": most or q.limit})).fetchall()
    return [Memory(id=r[0], summary=r[1], speaker=r[2], occurred_at=r[3], score=r[4]) for r in rows[: q.limit]]


@app.post("/lookup")
async def lookup(q: Question) -> Answer:
    async with pool.connection() as conn:
        return Answer(memories=await find(conn, q))


@app.post("/candidates")
async def candidates(q: Question) -> Answer:
    async with pool.connection() as conn:
        return Answer(memories=await find(conn, q, CANDIDATES, 400))


@app.post("/retrieve")
async def retrieve(q: Question) -> Answer:
    async with pool.connection() as conn:
        found = await find(conn, q)
        hits = dumps({"hits": [str(m.id) for m in found]})
        await conn.execute(RECORD, {"scope": q.scope, "id": uuid.uuid4(), "question": q.query, "hits": hits})
        return Answer(memories=found)

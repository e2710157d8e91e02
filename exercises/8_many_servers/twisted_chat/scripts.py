"""What the engine does in one step. Each of these is a script in Lua, which runs there.

While a script runs, the engine does nothing else: it is the critical section that many
servers have in common. All keys of a room have its number in braces, so that a cluster
keeps them on one node.
"""

# Begins a room, or finds out whether the engine has kept all of it.
#
# The engine may have been started anew, and then it has another `run`. Was it `proven`
# that it keeps what it acknowledges, and has nobody seen more than it has, then all is
# there. If not, some is lost, and the room goes on in another epoch. The numbers go on,
# too: none is given out twice that the database has.
OPEN = """
local room, log = KEYS[1], KEYS[2]
local run, proven, another = ARGV[1], ARGV[2] == "1", tonumber(ARGV[3])
local stored = tonumber(ARGV[4])
local seen_epoch, seen_seq = tonumber(ARGV[5]), tonumber(ARGV[6])
local known = redis.call("HMGET", room, "epoch", "seq", "run")
local epoch, seq = tonumber(known[1] or 0), tonumber(known[2] or 0)
local behind = seen_epoch > epoch or (seen_epoch == epoch and seen_seq > seq)
if known[3] == run and not behind and stored <= seq then
  return {known[1], seq}
end
if epoch == 0 or not proven or behind or stored > seq then
  epoch = math.max(another, epoch + 1, seen_epoch + 1)
  seq = math.max(seq, stored)
  redis.call("XADD", log, string.format("%.0f-%.0f", epoch, seq), "begins", "")
end
redis.call("HSET", room, "epoch", string.format("%.0f", epoch), "seq", seq, "run", run)
return {string.format("%.0f", epoch), seq}
"""

# Appends what was said in a room, unless it has been said before. To look whether an id
# is there, to take the next number and to make the message visible is one step.
#
# Returns for each: its number, when it was said, and if it is an old one, itself.
APPEND = """
local room, log = KEYS[1], KEYS[2]
local run, epoch, seconds = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call("HMGET", room, "epoch", "seq", "run")
if known[1] ~= epoch or known[3] ~= run then
  return redis.error_reply("ANOTHER epoch")
end
local time = redis.call("TIME")
local at = string.format("%d.%06d", time[1], time[2])
local seq, answers = tonumber(known[2]), {}
for number = 3, #KEYS do
  local place = redis.call("GET", KEYS[number])
  if place then
    local found = redis.call("XRANGE", log, place, place)
    answers[#answers + 1] = place .. " " .. (found[1] and found[1][2][2] or "")
  else
    seq = seq + 1
    place = epoch .. "-" .. string.format("%.0f", seq)
    redis.call("XADD", log, place, "said", at .. " " .. ARGV[number + 1])
    redis.call("SET", KEYS[number], place, "EX", seconds)
    answers[#answers + 1] = place .. " " .. at
  end
end
redis.call("HSET", room, "seq", string.format("%.0f", seq))
return answers
"""

# Says who is in a room by way of one server, and forgets the servers that have not said
# so for too long. If that changes the list, it is a new entry, which all servers read.
HERE = """
local here, until_when, news = KEYS[1], KEYS[2], KEYS[3]
local server, people, milliseconds = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local changed = redis.call("HGET", here, server) ~= (people ~= "" and people)
for _, gone in ipairs(redis.call("ZRANGEBYSCORE", until_when, "-inf", now)) do
  if gone ~= server then
    changed = redis.call("HDEL", here, gone) == 1 or changed
    redis.call("ZREM", until_when, gone)
  end
end
if people == "" then
  redis.call("HDEL", here, server)
  redis.call("ZREM", until_when, server)
else
  redis.call("HSET", here, server, people)
  redis.call("ZADD", until_when, now + milliseconds, server)
end
if changed then
  local all = redis.call("HGETALL", here)
  redis.call("XADD", news, "MAXLEN", 1, "*", "servers", cjson.encode(all))
end
for number = 1, 3 do
  redis.call("PEXPIRE", KEYS[number], 3 * milliseconds)
end
return changed and 1 or 0
"""

# Takes a token from a bucket: see limits.py. Returns in how many seconds half are back.
TAKE = """
local each, span = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call("TIME")
local now = time[1] + time[2] / 1000000
local full_at = math.max(tonumber(redis.call("GET", KEYS[1]) or now), now)
local missing = full_at - now
if missing + each > span + each / 2 then
  return string.format("%.6f", math.max(missing - span / 2, each))
end
local milliseconds = math.ceil(1000 * (missing + each))
redis.call("SET", KEYS[1], string.format("%.6f", full_at + each), "PX", milliseconds)
return "0"
"""

# Takes what only one server may have, or goes on having it. Returns 1 who has it now,
# and 2 who had it before. An engine that is full lets this script in all the same: who
# moves messages to the database makes room there.
LEASE = """#!lua flags=allow-oom
local holder = redis.call("GET", KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
return holder and 2 or 1
"""

# Gives it back.
RELEASE = """
if redis.call("GET", KEYS[1]) == ARGV[1] then
  redis.call("DEL", KEYS[1])
end
"""

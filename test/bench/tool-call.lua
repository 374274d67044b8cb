-- For wrk: every request calls the same tool under an id of its own, which a header repeats for an upstream that reads no body.
-- Arguments: the body before its id, and behind it.
local before, behind, used = "", "", 0

function init(args)
  before, behind = args[1], args[2]
end

function request()
  used = used + 1
  wrk.headers["X-Bench-Call"] = used
  return wrk.format("POST", nil, nil, before .. used .. behind)
end

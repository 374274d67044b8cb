-- For wrk: every request carries a DPoP proof of its own, from a file with one on each line, and none is used twice.
-- Arguments: the file, and how many requests may be asked for after the order to stop (one for each connection).
local proofs, count, used, spare = {}, 0, 0, 0

function init(args)
  for line in io.lines(args[1]) do
    count = count + 1
    proofs[count] = line
  end
  spare = tonumber(args[2])
end

function request()
  used = used + 1
  if used > count - spare then wrk.thread:stop() end
  wrk.headers["DPoP"] = proofs[used]
  return wrk.format()
end

-- Requests for wrk: PREFIXES different bodies of BODY_BYTES each, in turn; as src/bench/overhead/protocol.ts
-- makes them. SHAPE, if given, asks for a stream (its pace goes in the header x-bench).
local bodyBytes = tonumber(os.getenv("BODY_BYTES"))
local prefixes = tonumber(os.getenv("PREFIXES"))
local shape = os.getenv("SHAPE")
local requests = {}
local sent = 0

local function body(prefix)
  local head = '{"model":"m","stream":' .. tostring(shape ~= nil)
    .. ',"messages":[{"role":"system","content":"You are assistant number ' .. prefix .. '. '
  local tail = '"},{"role":"user","content":"hi"}]}'
  local words = "lorem ipsum dolor sit amet " .. prefix .. " "
  local fill = bodyBytes - #head - #tail
  return head .. string.rep(words, math.ceil(fill / #words)):sub(1, fill) .. tail
end

init = function()
  local headers = { ["Content-Type"] = "application/json", ["Host"] = "x" }
  if shape then headers["X-Bench"] = shape end
  for prefix = 1, prefixes do
    requests[prefix] = wrk.format("POST", nil, headers, body(prefix))
  end
end

request = function()
  sent = sent % prefixes + 1
  return requests[sent]
end

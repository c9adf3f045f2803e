--- Suggestions as values: what an item of the server's inserts at a place, what is left of it, its next part.

local M = {}

---@class fimble.Suggestion
---@field text string what is inserted at the cursor, with "\n" between lines
---@field replaces string what stands right of the cursor and goes; the text has all its characters, in their order
---@field command? lsp.Command to be run when all of it has been accepted

---@param line string
---@param character integer
---@param encoding string
---@return integer byte offset in the line, from 0
function M.byte_of(line, character, encoding)
  if encoding == 'utf-8' then
    return math.min(character, #line)
  end
  local ok, byte
  if vim.fn.has('nvim-0.11') == 1 then
    ok, byte = pcall(vim.str_byteindex, line, encoding, character, false)
  else
    ok, byte = pcall(vim.str_byteindex, line, character, encoding == 'utf-16')
  end
  return ok and byte or #line
end

--- What `item` inserts at a cursor, or nil if it does not fit there: its range must hold the cursor on one line,
--- and its text must begin with what stands between the two.
---@param item lsp.InlineCompletionItem
---@param row integer
---@param col integer in bytes
---@param line string the cursor's line
---@param encoding string
---@return fimble.Suggestion?
function M.of(item, row, col, line, encoding)
  local text = item.insertText
  if type(text) == 'table' then
    text = text.value
  end
  text = text:gsub('\r\n?', '\n')
  local first, last = col, col
  if item.range and item.range ~= vim.NIL then
    local from, to = item.range.start, item.range['end']
    if from.line ~= row or to.line ~= row then
      return nil
    end
    first, last = M.byte_of(line, from.character, encoding), M.byte_of(line, to.character, encoding)
  end
  local typed = line:sub(first + 1, col)
  if first > col or last < col or text:sub(1, #typed) ~= typed then
    return nil
  end
  text = text:sub(#typed + 1)
  if not text:find('%S') then
    return nil
  end
  local command = item.command ~= vim.NIL and item.command or nil
  return { text = text, replaces = line:sub(col + 1, last), command = command }
end

local CLOSES = { [')'] = '(', [']'] = '[', ['}'] = '{' }
local OPENS = { ['('] = true, ['['] = true, ['{'] = true }

--- Where in `text` the characters are that it replaces: brackets that it has not opened, and quotes. Fewer than it
--- replaces if they cannot be told from their like. Of a character of several bytes all count, or none.
---@param text string
---@param replaces string
---@return integer[]
local function places(text, replaces)
  local found, depth = {}, 0
  for at = 1, #text do
    local character, wanted = text:sub(at, at), replaces:sub(#found + 1, #found + 1)
    if wanted == '' then
      break
    elseif depth == 0 and character == wanted and not OPENS[character] then
      local size = #replaces:match('^[^\128-\191]?[\128-\191]*', #found + 1)
      if text:sub(at, at + size - 1) == replaces:sub(#found + 1, #found + size) then
        for byte = at, at + size - 1 do
          found[#found + 1] = byte
        end
      end
    elseif OPENS[character] then
      depth = depth + 1
    elseif CLOSES[character] then
      depth = math.max(0, depth - 1)
    end
  end
  return found
end

--- How many characters of what a suggestion replaces are part of `text`, a beginning of it.
---@param suggestion fimble.Suggestion
---@param text string
---@return integer
function M.passed(suggestion, text)
  local count = 0
  for _, at in ipairs(places(suggestion.text, suggestion.replaces)) do
    count = at <= #text and count + 1 or count
  end
  return count
end

--- The first line of a suggestion in pieces, to be shown in front of each of the characters it replaces and behind the
--- last of them, which stay on the screen; nil if they cannot.
---@param suggestion fimble.Suggestion
---@return string[]?
function M.pieces(suggestion)
  local line, pieces, from = suggestion.text:match('^[^\n]*'), {}, 1
  local found = places(suggestion.text, suggestion.replaces)
  for _, at in ipairs(found) do
    if at > #line then
      return nil
    end
    pieces[#pieces + 1] = line:sub(from, at - 1)
    from = at + 1
  end
  pieces[#pieces + 1] = line:sub(from)
  return #found == #suggestion.replaces and pieces or nil
end

--- What is left of a suggestion once `typed` has been typed, or nil if nothing is or something else was.
---@param suggestion fimble.Suggestion
---@param typed string
---@param passed? integer how many characters of what it replaces have been typed over
---@return fimble.Suggestion?
function M.rest(suggestion, typed, passed)
  local text, replaces = suggestion.text:sub(#typed + 1), suggestion.replaces:sub((passed or 0) + 1)
  if suggestion.text:sub(1, #typed) ~= typed or not text:find('%S') or (passed or 0) > #suggestion.replaces then
    return nil
  end
  local at = 0
  for character in replaces:gmatch('.') do
    at = text:find(character, at + 1, true)
    if not at then
      return nil
    end
  end
  return text ~= replaces and { text = text, replaces = replaces, command = suggestion.command } or nil
end

--- The first word of a text, with the white space in front of it; what is no word goes up to the next one.
---@param text string
---@return string
function M.word(text)
  return text:match('^%s*[%w_\128-\255]+') or text:match('^%s*[^%s%w_\128-\255]+') or text
end

--- The first line of a text, or the second one, with the line break, where the first is empty.
---@param text string
---@return string
function M.line(text)
  return text:match('^\n*[^\n]+') or text
end

--- Spaces in place of tabs, which virtual text shows as they are: `start` is the column the text begins in.
---@param text string
---@param start integer in screen cells
---@param tabstop integer
---@return string
function M.expand(text, start, tabstop)
  local at = start
  return (
    text:gsub('[^\t]*\t?', function(part)
      local plain = part:gsub('\t', '')
      at = at + vim.api.nvim_strwidth(plain)
      if plain == part then
        return part
      end
      local width = tabstop - at % tabstop
      at = at + width
      return plain .. (' '):rep(width)
    end)
  )
end

return M

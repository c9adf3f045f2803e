--- The :Fimble command.

local clients = require('fimble.client')
local config = require('fimble.config')
local float = require('fimble.float')
local notice = require('fimble.notice')

local M = {}

local say = notice.say

-- While the server does this, it is the reason that nothing appears.
local BUSY = { loading = true, measuring = true, reading = true, waiting = true }

--- Why nothing can be shown in this buffer, or nil if the server is to be asked.
---@param buf integer
---@return string?
local function local_reason(buf)
  local filetype = vim.bo[buf].filetype
  local named = filetype ~= '' and filetype or 'without a type'
  local command, problem = clients.command()
  if not config.options.enabled then
    return 'suggestions are off; :Fimble toggle switches them on'
  elseif not config.wants(filetype) then
    return ('suggestions are off for files %s; :Fimble toggle filetype switches them on'):format(named)
  elseif vim.bo[buf].buftype ~= '' then
    return 'this buffer is no file'
  elseif filetype == '' then
    return 'this buffer has no file type, and fimble starts with one (:set filetype=…)'
  elseif not command then
    return problem
  elseif not clients.of(buf) then
    return 'the server does not run for this buffer; see :Fimble log and :checkhealth fimble'
  end
end

--- Asks the server for its status, and with a place in `params` for why nothing appears there.
local function ask_status(buf, callback, params)
  local reason = local_reason(buf)
  local client = clients.of(buf) or vim.lsp.get_clients({ name = clients.NAME })[1]
  if not client then
    return callback(nil, reason)
  end
  clients.call(client, 'request', 'fimble/status', params or vim.empty_dict(), function(err, result)
    if err then
      return say('the server does not tell its status: ' .. err.message, vim.log.levels.WARN)
    end
    callback(result, reason)
  end, buf)
end

local function ms(value)
  return type(value) == 'number' and ('%.0f ms'):format(value) or '–'
end

--- How long ago, in words.
local function ago(seconds)
  if seconds < 90 then
    return ('%d s ago'):format(seconds)
  end
  return seconds < 5400 and ('%d min ago'):format(seconds / 60) or ('%d h ago'):format(seconds / 3600)
end

--- What came of the last request in this buffer that was not overtaken.
---@return string
local function last_here(status)
  local uri = vim.uri_from_bufnr(0)
  local recent = status.requests.recent
  for number = #recent, 1, -1 do
    local entry = recent[number]
    if entry.uri == uri and not entry.stale then
      local when = ago(entry.ageSeconds)
      if entry.empty then
        return ('%s, nothing was suggested: %s'):format(when, entry.reason)
      end
      local how = entry.source == 'memory' and 'from memory' or 'by the model'
      local asked = entry.asked
      if type(asked) == 'table' and asked.place ~= 'local' then
        local cost = asked.costText ~= '' and (', cost ' .. asked.costText) or ''
        how = ('by %s (%d tokens%s)'):format(asked.place, asked.promptTokens + asked.answerTokens, cost)
      end
      return ('%s, answered %s in %s'):format(when, how, ms(entry.totalMs))
    end
  end
  return 'nothing has been asked for in this file yet'
end

local function status_lines(status, reason)
  local lines = {}
  local function add(name, value)
    lines[#lines + 1] = ('- %s: %s'):format(name, value)
  end
  add('here', reason or 'on')
  if not status then
    return lines
  end
  local model, requests = status.model, status.requests
  local loading = model.state == 'loading' and (' %d%%'):format(100 * model.progress) or ''
  add('now', status.state.text ~= '' and status.state.text or status.state.state)
  add('version', status.version)
  add('model', ('%s, %s%s'):format(model.name or config.options.settings.model or 'starter', model.state, loading))
  if model.state == 'failed' then
    add('problem', model.message)
  end
  local latency = requests.latencyMs
  add('answers take', ('%s at the median, %s at the 95th percentile'):format(ms(latency.median), ms(latency.p95)))
  local counts = requests.counts
  add('answers', ('%d from the model, %d from memory, %d empty'):format(counts.model, counts.memory, counts.empty))
  add('last request here', last_here(status))
  return lines
end

local subcommands = {}

function subcommands.status()
  ask_status(vim.api.nvim_get_current_buf(), function(status, reason)
    float.open(status_lines(status, reason), true, 'text')
  end)
end

function subcommands.why()
  local buf = vim.api.nvim_get_current_buf()
  local place = {
    textDocument = { uri = vim.uri_from_bufnr(buf) },
    position = { line = vim.api.nvim_win_get_cursor(0)[1] - 1, character = 0 },
  }
  ask_status(buf, function(status, reason)
    local now = status and status.state
    if now and BUSY[now.state] then
      reason = reason or now.text
    end
    say(reason or status and status.why or 'the server has not told why')
  end, place)
end

function subcommands.last()
  local buf = vim.api.nvim_get_current_buf()
  local reason, client = local_reason(buf), clients.of(buf)
  if reason or not client then
    return say(reason)
  end
  clients.execute(client, { title = 'last', command = 'fimble.why' }, buf)
end

--- Shows what a command of the program says, in a window.
local function show_command(arguments, nothing)
  local command, problem = clients.command()
  if not command then
    return say(problem, vim.log.levels.WARN)
  end
  local program = {}
  for _, word in ipairs(command) do
    if word == 'serve' then
      break
    end
    program[#program + 1] = word
  end
  local options = { text = true, env = { COLUMNS = tostring(float.WIDTH) } }
  vim.system(vim.list_extend(program, arguments), options, function(done)
    vim.schedule(function()
      if done.code ~= 0 then
        local why = vim.trim(done.stderr or '')
        return say(why ~= '' and why or nothing, vim.log.levels.WARN)
      end
      float.open(vim.split(vim.trim(done.stdout), '\n'), true, 'text')
    end)
  end)
end

function subcommands.stats()
  show_command({ 'stats' }, 'the program does not tell what it has counted')
end

function subcommands.toggle(arguments)
  local what = arguments[1] or 'global'
  if what == 'global' then
    config.options.enabled = not config.options.enabled
    say(config.options.enabled and 'on' or 'off')
  elseif what == 'filetype' then
    local filetype = arguments[2] or vim.bo.filetype
    local on = not config.wants(filetype)
    config.options.filetypes[filetype] = on
    say(('%s for %s'):format(on and 'on' or 'off', filetype))
    if on then
      clients.start()
    end
  else
    return say(('toggle what? `global` or `filetype`, not `%s`'):format(what), vim.log.levels.WARN)
  end
  require('fimble.inline').refresh()
end

--- Has the server carry out one of its commands, and says what it answers.
local function execute(command, argument)
  local buf = vim.api.nvim_get_current_buf()
  local client = clients.of(buf)
  if not client then
    return say(local_reason(buf) or 'the server does not run', vim.log.levels.WARN)
  end
  local params = { command = command, arguments = { argument or vim.empty_dict() } }
  clients.call(client, 'request', 'workspace/executeCommand', params, function(err, result)
    if err then
      say(err.message, vim.log.levels.WARN)
    elseif type(result) == 'string' then
      say(result)
    end
  end, buf)
end

function subcommands.snooze(arguments)
  local buf, minutes = vim.api.nvim_get_current_buf(), tonumber(arguments[1])
  if arguments[1] == 'file' then
    execute('fimble.snooze', { uri = vim.uri_from_bufnr(buf) })
  elseif arguments[1] and not minutes then
    return say(('snooze what? `file`, or for how many minutes, not `%s`'):format(arguments[1]), vim.log.levels.WARN)
  else
    execute('fimble.snooze', minutes and { minutes = minutes })
  end
  require('fimble.inline').stop()
end

function subcommands.wake()
  execute('fimble.wake')
end

function subcommands.messages()
  local said = notice.all()
  float.open(#said > 0 and said or { 'nothing has been said' }, true, 'text')
end

function subcommands.log()
  local path = vim.lsp.log and vim.lsp.log.get_filename and vim.lsp.log.get_filename() or vim.lsp.get_log_path()
  vim.cmd.tabnew(vim.fn.fnameescape(path))
end

function subcommands.action(arguments, command)
  local client = clients.of(vim.api.nvim_get_current_buf())
  local wanted = table.concat(arguments, ' '):lower()
  if not client then
    return say(local_reason(vim.api.nvim_get_current_buf()), vim.log.levels.WARN)
  end
  vim.lsp.buf.code_action({
    range = command.range > 0 and { start = { command.line1, 0 }, ['end'] = { command.line2, 2147483647 } } or nil,
    apply = wanted ~= '',
    filter = function(action, client_id)
      -- Neovim 0.10 and 0.11 do not say whose action it is; the server's commands tell.
      local named = type(action.command) == 'table' and action.command.command or action.command
      local ours = client_id == client.id or (not client_id and vim.startswith(named or '', 'fimble.'))
      -- The title of an offer to ask another model ends with the title of the action; who names the action means that.
      local meant = named ~= 'fimble.askAgain' or wanted == '' or vim.startswith(wanted, 'ask')
      return ours and meant and (wanted == '' or action.title:lower():find(wanted, 1, true) ~= nil)
    end,
  })
end

function subcommands.again(arguments)
  execute('fimble.askAgain', arguments[1] and { place = arguments[1] })
end

function subcommands.restart()
  clients.restart()
  say('the server starts again')
end

---@param command table as of nvim_create_user_command()
function M.run(command)
  local arguments = vim.list_slice(command.fargs, 2)
  local name = command.fargs[1] or 'status'
  if not subcommands[name] then
    local known = vim.tbl_keys(subcommands)
    table.sort(known)
    return say(('no subcommand `%s`; there are %s'):format(name, table.concat(known, ', ')), vim.log.levels.WARN)
  end
  subcommands[name](arguments, command)
end

---@param lead string
---@param line string
---@return string[]
function M.complete(lead, line)
  local words = vim.split(line:gsub("^%A*", ''), '%s+')
  local choices = {}
  if #words <= 2 then
    choices = vim.tbl_keys(subcommands)
  elseif words[2] == 'toggle' and #words == 3 then
    choices = { 'filetype', 'global' }
  elseif words[2] == 'snooze' and #words == 3 then
    choices = { 'file' }
  elseif words[2] == 'toggle' and words[3] == 'filetype' then
    choices = vim.fn.getcompletion(lead, 'filetype')
  end
  table.sort(choices)
  return vim.tbl_filter(function(choice)
    return vim.startswith(choice, lead)
  end, choices)
end

return M

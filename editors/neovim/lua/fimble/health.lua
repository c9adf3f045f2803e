--- `:checkhealth fimble`.

local M = {}

local function report_program()
  local health = vim.health
  local command, problem = require('fimble.client').command()
  if not command then
    return health.error(problem)
  end
  local done = vim.system({ command[1], '--version' }, { text = true }):wait(20000)
  local said = vim.trim(done.stdout or '')
  if done.code == 0 then
    health.ok(('%s (%s)'):format(said, command[1]))
  else
    health.error(('`%s --version` ended with status %d'):format(command[1], done.code), { vim.trim(done.stderr or '') })
  end
end

local function report_model(client)
  local health = vim.health
  local call = require('fimble.client').call
  local answer
  call(client, 'request', 'fimble/status', vim.empty_dict(), function(_, result)
    answer = result
  end, 0)
  vim.wait(3000, function()
    return answer ~= nil
  end, 10)
  if not answer then
    return health.warn('the server has not told its status within 3 s', { 'see :Fimble log' })
  end
  local model = answer.model
  if model.state == 'failed' then
    health.error('the model cannot be used: ' .. model.message, { 'the setting `model` names the file' })
  elseif model.state == 'ready' then
    health.ok(('the model %s is loaded: %s'):format(model.name, model.path ~= '' and model.path or 'no file'))
  else
    health.info(('the model is %s (%d%%)'):format(model.state, 100 * (model.progress or 0)))
  end
  for _, problem in ipairs(answer.problems or {}) do
    health.warn(problem, { 'the other settings hold' })
  end
  if answer.state.text ~= '' then
    health.info('now: ' .. answer.state.text)
  end
end

function M.check()
  local health, config = vim.health, require('fimble.config')
  health.start('fimble')
  if vim.fn.has('nvim-0.10') == 0 then
    return health.error('Neovim 0.10 or newer is needed')
  end
  local builtin = require('fimble.builtin').used()
  health.ok(builtin and 'suggestions are shown by vim.lsp.inline_completion' or 'suggestions are shown by the plug-in')
  report_program()
  for name, key in pairs(config.options.keys) do
    local map = key and vim.fn.maparg(key, 'i', false, true)
    if map and next(map) and not vim.startswith(map.desc or '', 'fimble') then
      local note = ('%s (%s) is taken by another mapping: %s'):format(key, name, map.desc or map.rhs or 'a function')
      health.warn(note, { 'it runs first; set another key in the option `keys`' })
    end
  end
  local clients = vim.lsp.get_clients({ name = require('fimble.client').NAME })
  if #clients == 0 then
    return health.info('the server does not run now; it starts with the first file')
  end
  for _, client in ipairs(clients) do
    health.ok(('the server runs for %d buffer(s)'):format(vim.tbl_count(client.attached_buffers)))
    report_model(client)
  end
end

return M

-- Starts fimble: the :Fimble command at once, everything else when Neovim has read the user's configuration.

if vim.g.loaded_fimble then
  return
end
vim.g.loaded_fimble = true

if vim.fn.has('nvim-0.10') == 0 then
  vim.notify('fimble needs Neovim 0.10 or newer', vim.log.levels.WARN)
  return
end

vim.api.nvim_create_user_command('Fimble', function(command)
  require('fimble.commands').run(command)
end, {
  nargs = '*',
  range = true,
  desc = 'fimble: status, toggle, why, log, action, restart',
  complete = function(lead, line)
    return require('fimble.commands').complete(lead, line)
  end,
})

local function start()
  require('fimble').start()
end

if vim.v.vim_did_enter == 1 then
  vim.schedule(start) -- a plug-in manager calls setup() right after this file
else
  vim.api.nvim_create_autocmd('VimEnter', { once = true, callback = start })
end

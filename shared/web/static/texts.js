// SPDX-License-Identifier: Apache-2.0

// All that the page says, in both languages. A test holds them together, and the states with those of the program.
export const texts = {
  en: {
    skip: 'Skip to the content', home: 'Remora', language: 'Language', theme: 'Theme', auto: 'Automatic', light: 'Light', dark: 'Dark',
    logout: 'Log out', login: 'Log in', token: 'Token', tokenHelp: 'It is in the file that REMORA_LISTEN_TOKEN_FILE names.', wrongToken: 'This is not the token.',
    overview: 'What flows where', outputs: 'Outputs', output: 'Output', search: 'Search', state: 'State', any: 'any', rows: 'Logs by container, declaration and output',
    container: 'Container', log: 'Log', read: 'Read', sent: 'Sent', queued: 'Queued', dropped: 'Dropped', refusedRecords: 'Refused', parkedRecords: 'Parked', rate: 'Records/s',
    lagSeconds: 'Lag', lagBytes: 'Lag, bytes', hour: 'Last hour', reason: 'Reason', back: 'All containers', flows: 'Logs', files: 'Files', path: 'Path', offset: 'Offset', size: 'Size',
    problems: 'Problems', tail: 'Live tail', start: 'Start', stop: 'Stop', clear: 'Clear', none: 'none', thisProcess: 'This process', target: 'Target', source: 'Source', format: 'Format', where: 'Place',
    lastError: 'Last error', advice: 'What to do', since: 'Since', warning: 'warning', error: 'error', takes: 'takes records', fails: 'failing since {0}: {1}',
    process: 'Version {0}, up {1}', starting: 'starting', count: '{0} of {1} rows', noAnswer: 'No answer from Remora since {0}; trying again.', goneContainer: 'There is no such container now.',
    plot: '{0} records in the last hour, at most {1} a minute', noPlot: 'no records in the last hour', omitted: '{0} more files are not shown', tailing: 'Showing records as they are delivered.', tailOff: 'Stopped.',
    missed: '{0} records were not shown: there were too many.', fault: 'Fault', ago: '{0} ago', ended: 'The connection ended; trying again.',
    states: { refused: 'refused', failing: 'failing', waiting: 'waiting', unreadable: 'unreadable', parked: 'parked', slowed: 'slowed', no_match: 'no match', behind: 'behind', sending: 'sending', done: 'done', ended: 'ended', left_out: 'left out' },
    fileStates: { reading: 'reading', read: 'read to its end', rotated: 'rotated', removed: 'removed', searching: 'searching', open: 'open' },
    advices: {
      refused: 'Correct the label, variable, annotation or rule that the reason names; explain shows what is understood.',
      failing: 'Check that the backend is up and reachable, and its address, credentials and certificates. Nothing is lost meanwhile.',
      waiting: 'Make the destination accept records: create it, unblock it, or raise its quota. Other streams are not held up.',
      unreadable: 'Read the error: check the file’s permissions and disk, or why the backend refuses records; REMORA_DEAD_LETTER keeps these.',
      parked: 'Make the destination accept records. Over REMORA_PARKED_BYTES the oldest go to the dead letters.',
      slowed: 'Simplify regular expressions and multiline patterns of this declaration; other containers are not held up.',
      no_match: 'Check the path: it is the one inside the container. The file may not be there yet, or lie outside a volume that can be read.',
      behind: 'Check the backend’s speed and the agent’s CPU limit; REMORA_WORKERS sends more batches at the same time.',
    },
  },
  zh: {
    skip: '跳到正文', home: 'Remora', language: '语言', theme: '主题', auto: '自动', light: '浅色', dark: '深色',
    logout: '退出', login: '登录', token: '令牌', tokenHelp: '令牌在 REMORA_LISTEN_TOKEN_FILE 指定的文件中。', wrongToken: '令牌不正确。',
    overview: '日志流向', outputs: '输出', output: '输出', search: '搜索', state: '状态', any: '全部', rows: '按容器、声明和输出列出的日志',
    container: '容器', log: '日志', read: '已读', sent: '已发送', queued: '排队', dropped: '丢失', refusedRecords: '被拒', parkedRecords: '暂存', rate: '条/秒',
    lagSeconds: '延迟', lagBytes: '积压字节', hour: '最近一小时', reason: '原因', back: '全部容器', flows: '日志', files: '文件', path: '路径', offset: '偏移', size: '大小',
    problems: '问题', tail: '实时查看', start: '开始', stop: '停止', clear: '清空', none: '无', thisProcess: '本进程', target: '目标', source: '来源', format: '格式', where: '位置',
    lastError: '最近的错误', advice: '处理办法', since: '开始于', warning: '警告', error: '错误', takes: '正常接收', fails: '自 {0} 起失败：{1}',
    process: '版本 {0}，已运行 {1}', starting: '正在启动', count: '{0} / {1} 行', noAnswer: '自 {0} 起 Remora 没有应答，正在重试。', goneContainer: '目前没有这个容器。',
    plot: '最近一小时 {0} 条，每分钟最多 {1} 条', noPlot: '最近一小时没有记录', omitted: '另有 {0} 个文件未显示', tailing: '正在显示已送达的记录。', tailOff: '已停止。',
    missed: '有 {0} 条记录未显示：数量过多。', fault: '故障', ago: '{0} 前', ended: '连接已断开，正在重试。',
    states: { refused: '声明被拒', failing: '输出失败', waiting: '等待', unreadable: '读取出错', parked: '已暂存', slowed: '已限速', no_match: '无匹配', behind: '落后', sending: '发送中', done: '已送完', ended: '已结束', left_out: '未收集' },
    fileStates: { reading: '读取中', read: '已读完', rotated: '已轮转', removed: '已删除', searching: '查找中', open: '打开' },
    advices: {
      refused: '按原因改正标签、变量、注解或规则；explain 命令显示程序如何理解它们。',
      failing: '检查后端是否运行、可达，以及地址、凭据和证书。在此期间不会丢失数据。',
      waiting: '让目标接收记录：创建它、解除阻塞或提高配额。其他日志不受影响。',
      unreadable: '查看错误：检查文件权限和磁盘，或后端拒绝记录的原因；REMORA_DEAD_LETTER 会保存这些记录。',
      parked: '让目标接收记录。超过 REMORA_PARKED_BYTES 时，最早的记录会进入死信。',
      slowed: '简化此声明的正则表达式和多行模式；其他容器不受影响。',
      no_match: '检查路径：应为容器内的路径。文件可能尚未出现，或不在可读的卷中。',
      behind: '检查后端速度和代理的 CPU 限额；REMORA_WORKERS 可增加同时发送的批次。',
    },
  },
};

function stored(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}

// store remembers a choice, where the browser lets it.
export function store(key, value) {
  try { localStorage.setItem(key, value); } catch { /* storage is turned off */ }
}

let chosen = stored('remora.language') ?? (navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en');
if (!(chosen in texts)) chosen = 'en';

export function language() { return chosen; }

export function setLanguage(to) {
  chosen = to in texts ? to : 'en';
  store('remora.language', chosen);
}

export function theme() { return stored('remora.theme') ?? 'auto'; }

// say returns a text with its parts filled in.
export function say(key, ...parts) {
  return texts[chosen][key].replace(/\{(\d)\}/g, (_, i) => parts[i]);
}

// sayOf returns a text of one of the tables: states, fileStates, advices. What a table does not have is shown as it is.
export function sayOf(table, key) { return texts[chosen][table][key] ?? ''; }

// translate puts the chosen language into all elements that name a text.
export function translate(root) {
  document.documentElement.lang = chosen === 'zh' ? 'zh-CN' : 'en';
  for (const e of root.querySelectorAll('[data-text]')) e.textContent = say(e.dataset.text);
}

// inert returns what others wrote without characters that change how their neighbours look: controls, and those of direction.
export function inert(text) {
  return String(text).replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029]/gu, (c) => '\\u' + c.codePointAt(0).toString(16).padStart(4, '0'));
}
